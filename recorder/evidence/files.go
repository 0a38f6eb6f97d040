package evidence

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skein/recorder/retain"
	"skein/recorder/segment"
)

// Files are what an offline verification looks at: names of segments, of their manifests, of tombstone and gap
// documents, or of folders that hold some. A segment's manifest lies beside it under its name and ".json", as in a
// directory store.
type Files struct {
	Footage     []string
	Checkpoints []string          // files or folders
	Trusted     ed25519.PublicKey // of the checkpoints
}

// FilesReport is what VerifyFiles found.
type FilesReport struct {
	Cameras     []string  `json:"cameras"`
	Segments    int       `json:"segments"`
	Deleted     int       `json:"deleted"`
	Bytes       int64     `json:"bytes_read"`
	Checkpoints int       `json:"checkpoints"` // good ones, whether they name a segment or not
	Named       int       `json:"named"`       // times that a checkpoint names one of the segments
	GivenUp     []GivenUp `json:"given_up"`    // what the edge sealed and the archive never got, by its gap links
	Broken      *Broken   `json:"broken"`
}

// errNoManifest is a segment that nothing can be proved of.
var errNoManifest = errors.New("no manifest: want it beside the segment, under the same name and .json")

// VerifyFiles proves downloaded footage without the archive: each segment's content, the chain through what is there,
// and the checkpoints, which may be a part of the archive's. The error tells that something could not be read.
func VerifyFiles(in Files) (FilesReport, error) {
	r := FilesReport{Cameras: []string{}, GivenUp: []GivenUp{}}
	list, err := r.checkpoints(in)
	if err != nil || r.Broken != nil {
		return r, err
	}
	names, err := expand(in.Footage)
	if err != nil {
		return r, err
	}
	chains := map[string][]Link{}
	for _, name := range names {
		links, err := r.file(name, slices.Contains(in.Footage, name))
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		if r.Broken != nil {
			return r, nil
		}
		for _, l := range links {
			chains[l.Camera] = append(chains[l.Camera], l)
		}
	}
	if r.Segments == 0 {
		return r, errors.New("no segment (*.mp4) among the files")
	}
	for camera := range chains {
		r.Cameras = append(r.Cameras, camera)
	}
	slices.Sort(r.Cameras)
	for _, camera := range r.Cameras {
		links := chains[camera]
		if r.Broken = VerifyChain(links); r.Broken != nil {
			return r, nil
		}
		within := segment.Range{From: links[0].Start, To: links[len(links)-1].Start}
		r.GivenUp = append(r.GivenUp, givenUp(links, segment.Range{From: within.From, To: within.To.Add(1)})...)
		n, b := compareHeads(list, camera, links, within)
		r.Named += n
		if r.Broken = b; b != nil {
			return r, nil
		}
	}
	return r, nil
}

// expand replaces folders by the files in them, in order of name.
func expand(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		err := filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// file returns the links of one file: a segment's, or the tombstones or the gap link of a document. named tells that
// it was asked for itself; in a folder, files of other kinds are passed over.
func (r *FilesReport) file(name string, named bool) ([]Link, error) {
	if strings.HasSuffix(name, ".mp4.json") {
		if _, err := os.Stat(strings.TrimSuffix(name, ".json")); err == nil {
			return nil, nil // the segment's turn proves it
		}
		return r.segment(strings.TrimSuffix(name, ".json")) // says that it is missing
	}
	switch filepath.Ext(name) {
	case ".mp4":
		return r.segment(name)
	case ".json":
		return r.document(name)
	}
	if named {
		return nil, errors.New("want *.mp4, *.json or a folder")
	}
	return nil, nil
}

func (r *FilesReport) segment(name string) ([]Link, error) {
	doc, err := os.ReadFile(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoManifest
	}
	if err != nil {
		return nil, err
	}
	var m segment.Manifest
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	l := LinkOf(m)
	if !fits(name, l) {
		r.Broken = l.broken(FaultManifest, "its manifest lies beside %s, another segment's name", filepath.Base(name))
		return nil, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		r.Broken = l.broken(FaultMissing, "only its manifest is there")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if r.Broken, err = VerifyContent(f, m); err != nil || r.Broken != nil {
		return nil, err
	}
	r.Segments++
	r.Bytes += m.Bytes
	return []Link{l}, nil
}

// fits reports whether a file may hold the segment. A name that is no segment's says nothing.
func fits(name string, l Link) bool {
	base := filepath.Base(name)
	if strings.Count(base, "-") != 3 {
		return true
	}
	return base == filepath.Base(l.Key)
}

// document returns the links of a tombstone or gap document.
func (r *FilesReport) document(name string) ([]Link, error) {
	doc, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if d, err := segment.ParseGapDoc(doc); err == nil {
		if l, ok := gapLinkOf(d); ok {
			return []Link{l}, nil
		}
		return nil, nil
	}
	var stones []retain.Tombstone
	if json.Unmarshal(doc, &stones) != nil {
		return nil, nil // another document of the archive, such as a checkpoint
	}
	var links []Link
	for _, s := range stones {
		l, err := buried(s)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
		r.Deleted++
	}
	return links, nil
}

// checkpoints reads and proves the checkpoints. Some may lack between others; those that follow must name each other.
func (r *FilesReport) checkpoints(in Files) ([]Checkpoint, error) {
	if len(in.Checkpoints) == 0 {
		return nil, nil
	}
	if in.Trusted == nil {
		return nil, errors.New("checkpoints prove nothing without the public key that you trust")
	}
	names, err := expand(in.Checkpoints)
	if err != nil {
		return nil, err
	}
	var list []Checkpoint
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		c, err := ParseCheckpoint(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Checkpoint) int { return cmp.Compare(a.Seq, b.Seq) })
	list = slices.CompactFunc(list, func(a, b Checkpoint) bool { return a.ID() == b.ID() && a.Sig == b.Sig }) // two copies
	for from := 0; from < len(list) && r.Broken == nil; {
		to := from + 1
		for to < len(list) && list[to].Seq <= list[to-1].Seq+1 {
			to++
		}
		r.Broken = VerifyCheckpoints(list[from:to], in.Trusted)
		from = to
	}
	if r.Broken == nil {
		r.Checkpoints = len(list)
	}
	return list, nil
}
