package clip

import (
	"container/list"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// pictureAge is how long a picture is kept that nobody asks for: pictures must not outlive their footage for long.
const pictureAge = 24 * time.Hour

// pictureCache keeps small files in a folder, the least recently used go first. Nothing of it is precious: a file that
// cannot be read is made again. It is safe for concurrent use.
type pictureCache struct {
	dir string
	max int64 // bytes
	now func() time.Time

	mu    sync.Mutex // guards the fields below
	ready bool
	order list.List // of *picture, most recently used first
	byID  map[string]*list.Element
	bytes int64
}

type picture struct {
	id   string
	size int64
	used time.Time
}

func (c *pictureCache) path(id string) string { return filepath.Join(c.dir, id+".jpg") }

// load takes in what an earlier run left. It is called with mu held.
func (c *pictureCache) load() error {
	if c.ready {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var files []picture
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone since
		}
		id, ok := strings.CutSuffix(e.Name(), ".jpg")
		if !ok || !e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(c.dir, e.Name())) // unfinished
			continue
		}
		files = append(files, picture{id, info.Size(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b picture) int { return b.used.Compare(a.used) })
	c.byID, c.ready = map[string]*list.Element{}, true
	for _, f := range files {
		c.byID[f.id] = c.order.PushBack(&f)
		c.bytes += f.size
	}
	c.shrink()
	return nil
}

// shrink is called with mu held.
func (c *pictureCache) shrink() {
	for last := c.order.Back(); last != nil; last = c.order.Back() {
		if p, _ := last.Value.(*picture); c.bytes <= c.max && c.now().Sub(p.used) < pictureAge {
			return
		}
		c.drop(last)
	}
}

// drop is called with mu held.
func (c *pictureCache) drop(e *list.Element) {
	p, _ := c.order.Remove(e).(*picture)
	delete(c.byID, p.id)
	c.bytes -= p.size
	_ = os.Remove(c.path(p.id)) // what stays is found by the next load
}

func (c *pictureCache) get(id string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.load() != nil {
		return nil, false
	}
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	b, err := os.ReadFile(c.path(id))
	p, _ := e.Value.(*picture)
	if err != nil || int64(len(b)) != p.size {
		c.drop(e)
		return nil, false
	}
	p.used = c.now()
	c.order.MoveToFront(e)
	return b, true
}

func (c *pictureCache) put(id string, b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		return err
	}
	if e, ok := c.byID[id]; ok {
		c.drop(e)
	}
	tmp := c.path(id) + ".new"
	if err := os.WriteFile(tmp, b, fs.FileMode(0o640)); err != nil {
		return err
	}
	if err := os.Rename(tmp, c.path(id)); err != nil {
		return err
	}
	c.byID[id] = c.order.PushFront(&picture{id, int64(len(b)), c.now()})
	c.bytes += int64(len(b))
	c.shrink()
	return nil
}
