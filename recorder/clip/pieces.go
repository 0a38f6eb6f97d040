package clip

import (
	"encoding/binary"
	"fmt"
	"sort"

	"skein/recorder/fmp4/spill"
)

// pieceSize is the length of a piece in a table.
const pieceSize = 48

// pieces is the list of a plan's pieces, ascending by out. All but the last, which may still grow, are in a table that
// can go to disk: a day of one camera has more than a hundred thousand.
type pieces struct {
	table spill.Table
	last  piece
	n     int

	held   piece // the piece read last
	heldAt int   // its index plus 1; 0: none
}

// add appends a piece.
func (l *pieces) add(p piece) {
	if l.n > 0 {
		b := l.last.encode()
		l.table.Append(b[:])
	}
	l.last = p
	l.n++
}

// get returns piece i.
func (l *pieces) get(i int) (piece, error) {
	switch i {
	case l.n - 1:
		return l.last, nil
	case l.heldAt - 1:
		return l.held, nil
	}
	var b [pieceSize]byte
	if _, err := l.table.ReadAt(b[:], int64(i)*pieceSize); err != nil {
		return piece{}, fmt.Errorf("read the plan of a clip: %w", err)
	}
	l.held, l.heldAt = decodePiece(b), i+1
	return l.held, nil
}

// find returns the index of the piece that holds byte at of the media data. Most often it is the one of the last call,
// or the next.
func (l *pieces) find(at int64) (int, error) {
	for _, i := range []int{l.heldAt - 1, l.heldAt} {
		if i < 0 || i >= l.n {
			continue
		}
		p, err := l.get(i)
		if err != nil {
			return 0, err
		}
		if at >= p.out && at < p.out+p.size {
			return i, nil
		}
	}
	var failed error
	i := sort.Search(l.n, func(i int) bool {
		p, err := l.get(i)
		if err != nil {
			failed = err
		}
		return p.out > at
	}) - 1
	return i, failed
}

func (p piece) encode() (b [pieceSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(p.out))
	le.PutUint64(b[8:], uint64(p.size))
	le.PutUint64(b[16:], uint64(p.off))
	le.PutUint64(b[24:], uint64(p.first))
	le.PutUint32(b[32:], uint32(p.n))
	le.PutUint32(b[36:], uint32(p.source))
	le.PutUint16(b[40:], uint16(p.track))
	b[42] = byte(p.kind)
	return b
}

func decodePiece(b [pieceSize]byte) piece {
	le := binary.LittleEndian
	return piece{
		out: int64(le.Uint64(b[0:])), size: int64(le.Uint64(b[8:])), off: int64(le.Uint64(b[16:])),
		first: int64(le.Uint64(b[24:])), n: int32(le.Uint32(b[32:])), source: int32(le.Uint32(b[36:])),
		track: int16(le.Uint16(b[40:])), kind: pieceKind(b[42]),
	}
}
