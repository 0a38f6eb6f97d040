package scene_test

import (
	"bytes"
	"testing"
	"time"

	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
)

func spec() scene.Spec {
	return scene.Spec{Width: 640, Height: 360, FPS: 15, GOP: 30, Cell: 4, Bitrate: 600_000}
}

// TestTrafficReturns: a loop of pictures must end where it began, or vehicles would jump.
func TestTrafficReturns(t *testing.T) {
	t.Parallel()
	s := scene.New(spec())
	first := bytes.Clone(s.Picture.Y)
	moved := false
	for range s.Spec.Loop() {
		s.Advance(0)
		moved = moved || !bytes.Equal(first, s.Picture.Y)
	}
	if !moved || !bytes.Equal(first, s.Picture.Y) {
		t.Errorf("moved: %v; the last picture of the loop does not lead to the first", moved)
	}
}

// TestOnlyMarkedBlocksChange: an unmarked change would never reach a decoder.
func TestOnlyMarkedBlocksChange(t *testing.T) {
	t.Parallel()
	s := scene.New(spec())
	for i := range 50 {
		before := s.Picture.Clone()
		s.Advance(2000)
		for b, kind := range s.Kinds {
			if kind != raster.Skip && b <= s.Layout.Last() {
				t.Fatalf("picture %d: block %d is not below the text", i, b)
			}
			if kind == raster.Skip && !bytes.Equal(before.AppendPCM(nil, b), s.Picture.AppendPCM(nil, b)) {
				t.Fatalf("picture %d: block %d changed unmarked", i, b)
			}
		}
	}
}

// TestTextSendsWhatChanged: all blocks at first, then the changed digits and always the last block.
func TestTextSendsWhatChanged(t *testing.T) {
	t.Parallel()
	f, err := scene.LoadFont()
	if err != nil {
		t.Fatal(err)
	}
	s := scene.New(spec())
	text := scene.NewText(s.Layout, f, "雁峰 A\u0378")
	at := time.Date(2026, 11, 23, 23, 16, 8, 40e6, time.UTC)
	text.Set(at, 100)
	all := text.Append(nil, true)
	count := 0
	for b := range s.Kinds {
		if s.IsText(b) {
			count++
		}
	}
	if len(all) != count || all[len(all)-1].Index != s.Layout.Last() {
		t.Fatalf("%d blocks of text, want %d", len(all), count)
	}
	text.Set(at, 100)
	if same := text.Append(nil, false); len(same) != 1 || same[0].Index != s.Layout.Last() {
		t.Errorf("%d blocks for the same text, want the last one", len(same))
	}
	text.Set(at.Add(40*time.Millisecond), 101)
	if next := text.Append(nil, false); len(next) != 2 {
		t.Errorf("%d blocks for 40 ms later, want 2", len(next))
	}
	for _, p := range all {
		for i := range raster.Size {
			if edge := p.Samples[i*raster.Size+raster.Size-1]; edge != p.Samples[255] {
				t.Fatalf("block %d: text touches its right edge", p.Index)
			}
		}
		if bytes.IndexByte(p.Samples, 0) >= 0 {
			t.Fatalf("block %d has a zero sample", p.Index)
		}
	}
}
