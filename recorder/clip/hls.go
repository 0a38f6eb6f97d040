package clip

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// partLength is the least time a part of a playlist holds, except the last of a segment.
const partLength = 4 * time.Second

// playlist is an HLS playlist in the making (RFC 8216).
type playlist struct {
	camera  string
	within  segment.Range
	query   url.Values // repeated in the address of every part
	body    strings.Builder
	longest time.Duration
	from    time.Time // start of the first part
	at      time.Time // end of the last part
	config  string    // sample entries in force
	t0      time.Time
	linked  bool // some parts need pictures of the part before
}

// playlist returns the playlist of the range. Addresses are relative to /v1/clips/; query is repeated in them.
func (l *library) playlist(ctx context.Context, camera string, within segment.Range, query url.Values) (string, error) {
	recs, err := l.find(ctx, camera, within)
	if err != nil {
		return "", err
	}
	p := playlist{camera: camera, within: within, query: query}
	err = l.each(ctx, camera, recs, func(s slice) error {
		p.take(s)
		return nil
	})
	if err != nil {
		return "", err
	}
	if p.body.Len() == 0 {
		return "", nearest(ctx, l.records, camera, within)
	}
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n")
	if !p.linked {
		b.WriteString("#EXT-X-INDEPENDENT-SEGMENTS\n")
	}
	fmt.Fprintf(&b, "#EXT-X-TARGETDURATION:%d\n", int(math.Ceil(p.longest.Seconds())))
	if skip := within.From.Sub(p.from); skip > 0 {
		fmt.Fprintf(&b, "#EXT-X-START:TIME-OFFSET=%.3f,PRECISE=YES\n", skip.Seconds())
	}
	b.WriteString(p.body.String())
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String(), nil
}

// fragmentSpan is one fragment's time on the wall.
type fragmentSpan struct {
	from, to time.Time
	key      bool
	linked   bool // needs pictures of the fragment before
}

// take adds the parts of one segment that overlap the range.
func (p *playlist) take(s slice) {
	spans := fragmentSpans(s.x)
	query := url.Values{}
	for k, v := range p.query {
		query[k] = v
	}
	end := p.within.To
	if !s.limit.IsZero() {
		end = earlier(end, s.limit)
		if s.limit.Before(s.x.Start.Add(s.x.Duration() - segment.Join)) {
			query.Set("until", strconv.FormatInt(s.limit.UnixMilli(), 10))
		}
	}
	for i := 0; i < len(spans); {
		j := i + 1
		for j < len(spans) && (spans[j].from.Sub(spans[i].from) < partLength || !spans[j].key) &&
			spans[j].from.Sub(spans[j-1].to) <= segment.Join {
			j++
		}
		from, to := spans[i].from, earlier(spans[j-1].to, laterIf(s.limit, spans[j-1].to))
		for _, f := range spans[i:j] {
			p.linked = p.linked || f.linked
		}
		if to.After(p.within.From) && from.Before(end) && from.Before(to) {
			p.part(s, i, j-1, segment.Range{From: from, To: to}, query)
		}
		i = j
	}
}

// laterIf returns t, or otherwise where t is zero.
func laterIf(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

func (p *playlist) part(s slice, first, last int, r segment.Range, query url.Values) {
	if p.t0.IsZero() {
		p.t0, p.from = s.x.Start.Truncate(time.Millisecond), r.From
	}
	query.Set("t0", strconv.FormatInt(p.t0.UnixMilli(), 10))
	base := p.camera + "/hls/" + partID(p.camera, s.rec) + "/"
	config := configOf(s.x)
	jump := !p.at.IsZero() && r.From.Sub(p.at).Abs() > segment.Join
	if p.config != "" && (jump || config != p.config) {
		p.body.WriteString("#EXT-X-DISCONTINUITY\n")
	}
	if config != p.config {
		fmt.Fprintf(&p.body, "#EXT-X-MAP:URI=\"%sinit.mp4?%s\"\n", base, query.Encode())
	}
	query.Del("begins")
	if p.config == "" || jump || config != p.config {
		query.Set("begins", "1")
		fmt.Fprintf(&p.body, "#EXT-X-PROGRAM-DATE-TIME:%s\n", stamp(r.From))
	}
	fmt.Fprintf(&p.body, "#EXTINF:%.6f,\n%s%d-%d.m4s?%s\n", r.Duration().Seconds(), base, first, last, query.Encode())
	p.config, p.at = config, r.To
	p.longest = max(p.longest, r.Duration())
}

// partID names a segment in the address of its parts.
func partID(camera string, r segment.Record) string {
	key := r.Key(camera)
	return strings.TrimSuffix(key[strings.LastIndexByte(key, '/')+1:], ".mp4")
}

// configOf returns what a player must know before a part: equal strings need no new initialisation.
func configOf(x *fmp4.Index) string {
	var b strings.Builder
	for _, t := range partTracks(x) {
		fmt.Fprintf(&b, "%d ", t.TimeScale)
		b.Write(t.Entry)
	}
	return b.String()
}

// partTracks returns the tracks of the parts of a segment: its first video and its first audio track.
func partTracks(x *fmp4.Index) []fmp4.Track {
	var all []fmp4.Track
	for _, i := range partIndexes(x) {
		t := x.Tracks[i]
		if isG711(t.Codec) {
			t = flacTrack(t)
		}
		t.ID = uint32(len(all) + 1)
		all = append(all, t)
	}
	return all
}

// partIndexes returns which tracks of a segment its parts carry.
func partIndexes(x *fmp4.Index) []int {
	var all []int
	video, audio := false, false
	for i, t := range x.Tracks {
		if t.Codec.IsVideo() && !video {
			video = true
			all = append(all, i)
		}
		if !t.Codec.IsVideo() && !audio {
			audio = true
			all = append(all, i)
		}
	}
	return all
}

// fragmentSpans returns the time of every fragment by the primary track's samples; a fragment without any has none of
// its own and joins the one before.
func fragmentSpans(x *fmp4.Index) []fragmentSpan {
	primary := max(0, x.Video())
	spans := make([]fragmentSpan, 0, len(x.Fragments))
	at := x.Start
	for _, f := range x.Fragments {
		span := fragmentSpan{from: at, to: at}
		for _, r := range f.Runs {
			if r.Track != primary || len(r.Samples) == 0 {
				continue
			}
			end, linked := r.DTS, false
			for _, s := range r.Samples {
				end += int64(s.Duration)
				linked = linked || s.Leading || s.Recovery > 0
			}
			span = fragmentSpan{x.Time(primary, r.DTS), x.Time(primary, end), r.Samples[0].Key, linked}
		}
		at = span.to
		spans = append(spans, span)
	}
	return spans
}
