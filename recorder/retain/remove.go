package retain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"skein/recorder/segment"
)

// Tombstone is what remains of a deleted segment: enough to keep the camera's chain of manifests provable.
type Tombstone struct {
	Camera   string        `json:"camera"`
	Seq      uint64        `json:"seq"`
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	Bytes    int64         `json:"bytes"`
	SHA256   segment.Hash  `json:"sha256"` // zero if the manifest could not be read: Hash48 names it then
	Prev     segment.Hash  `json:"prev"`
	Hash48   string        `json:"hash48"`
	Key      string        `json:"key"`
	Shard    string        `json:"shard"`
	Rule     Rule          `json:"rule"`
	Promised int           `json:"promised_days,omitempty"` // retention of its camera, if it went before that
	Deleted  time.Time     `json:"deleted"`
}

// TombstonePrefix is where tombstones are kept: tombstones/<camera>/<yyyy>/<mm>/<dd>/<start_ms>-<unix_ns>.json, day and
// start being those of the first of the deleted segments; each document is a JSON array.
const TombstonePrefix = "tombstones/"

// perBatch is how many deletions share a tombstone document and one look at the locks.
const perBatch = 120

// remove deletes the given records of one camera. Order, for each batch: locks are read, tombstones are written, then
// for each segment the record goes and then the object. A crash in between leaves an object without a record, which
// check finds and the next rebuild and sweep remove.
func (k *Keeper) remove(ctx context.Context, camera string, due []segment.Record, rule Rule) (Result, error) {
	var total Result
	for len(due) > 0 {
		n := 1
		for n < len(due) && n < perBatch && due[n].Start.UTC().YearDay() == due[0].Start.UTC().YearDay() {
			n++
		}
		r, err := k.removeBatch(ctx, camera, due[:n], rule)
		total.add(r)
		if err != nil {
			return total, err
		}
		due = due[n:]
	}
	return total, nil
}

func (k *Keeper) removeBatch(ctx context.Context, camera string, due []segment.Record, rule Rule) (Result, error) {
	var total Result
	locked, err := k.o.Guard.Locked(ctx, camera)
	if err != nil {
		return total, fmt.Errorf("locks cannot be read, nothing is deleted: %w", err)
	}
	var graves []Tombstone
	var free []segment.Record
	for _, r := range due {
		if covers(locked, r.Range()) {
			total.Locked++
			continue
		}
		graves = append(graves, k.tombstone(ctx, camera, r, rule))
		free = append(free, r)
	}
	if len(free) == 0 {
		return total, ctx.Err()
	}
	doc, err := json.Marshal(graves)
	if err != nil {
		return total, err
	}
	first := free[0].Start.UTC()
	name := fmt.Sprintf("%s%s/%s/%d-%d.json", TombstonePrefix, camera, first.Format("2006/01/02"), first.UnixMilli(),
		k.o.Now().UnixNano())
	if err := k.o.Store.PutBlob(ctx, name, doc); err != nil {
		return total, fmt.Errorf("write tombstones: %w", err)
	}
	for _, r := range free {
		if err := k.limit.Wait(ctx); err != nil {
			return total, err
		}
		if err := k.removeOne(ctx, camera, r); err != nil {
			if ctx.Err() != nil {
				return total, ctx.Err()
			}
			total.Failed++
			k.o.Log.WarnContext(ctx, "segment not deleted", "camera", camera, "start", r.Start, "err", err)
			continue
		}
		total.Deleted++
		total.Bytes += r.Bytes
	}
	return total, nil
}

// removeOne deletes the record, then the object. An object that the store refuses to delete (held, or its shard is
// away) gets its record back: it is still footage.
func (k *Keeper) removeOne(ctx context.Context, camera string, r segment.Record) error {
	if err := k.o.Index.Remove(ctx, camera, r); err != nil {
		return err
	}
	err := k.o.Store.Delete(ctx, r.Shard, r.Key(camera))
	if err == nil {
		return nil
	}
	back := context.WithoutCancel(ctx)
	back, cancel := context.WithTimeout(back, 5*time.Second)
	defer cancel()
	return errors.Join(err, k.o.Index.Add(back, camera, r))
}

func (k *Keeper) tombstone(ctx context.Context, camera string, r segment.Record, rule Rule) Tombstone {
	t := Tombstone{
		Camera: camera, Seq: r.Seq, Start: r.Start, Duration: r.Duration, Bytes: r.Bytes, Key: r.Key(camera),
		Hash48: fmt.Sprintf("%x", r.Hash), Shard: r.Shard, Rule: rule, Deleted: k.o.Now().UTC(),
	}
	if keep := k.o.Policy(camera); rule == RuleCap && r.Early(keep, t.Deleted) {
		t.Promised = keep
	}
	if m, err := k.o.Store.Manifest(ctx, r.Shard, t.Key); err == nil {
		t.SHA256, t.Prev = m.SHA256, m.Prev
	}
	return t
}

// Tombstones returns what was deleted (or was about to be: the tombstone comes first) of the camera within the range.
func Tombstones(ctx context.Context, docs Documents, camera string, within segment.Range) ([]Tombstone, error) {
	var out []Tombstone
	prefix := TombstonePrefix + camera + "/"
	for name, err := range docs.ListBlobs(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list tombstones: %w", err)
		}
		day, err := time.Parse("2006/01/02", strings.TrimPrefix(path.Dir(name), prefix))
		if err != nil || !day.Before(within.To) || day.AddDate(0, 0, 2).Before(within.From) {
			continue
		}
		doc, err := docs.GetBlob(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read tombstones: %w", err)
		}
		var list []Tombstone
		if err := json.Unmarshal(doc, &list); err != nil {
			return nil, fmt.Errorf("tombstones %s are damaged: %w", name, err)
		}
		for _, t := range list {
			if (segment.Range{From: t.Start, To: t.Start.Add(t.Duration)}).Overlaps(within) {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func covers(locked []segment.Range, r segment.Range) bool {
	for _, l := range locked {
		if l.Overlaps(r) || (r.Duration() == 0 && !r.From.Before(l.From) && r.From.Before(l.To)) {
			return true
		}
	}
	return false
}
