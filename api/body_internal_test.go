package api

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestReadBody: whatever is said of its length, a body is read whole, and no
// more memory is taken than twice of what came and firstRead.
func TestReadBody(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7, 2 << 20} {
		want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for _, said := range []int64{-1, 0, 1, int64(size), int64(size) + 1, 2 << 20} {
			for name, r := range map[string]io.Reader{
				"at once": bytes.NewReader(want), "in halves": iotest.HalfReader(bytes.NewReader(want)),
				"end with the data": iotest.DataErrReader(bytes.NewReader(want)),
			} {
				got, err := readBody(r, said)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, %d announced, %s: %d bytes, %v", size, said, name, len(got), err)
				}
				if cap(got) > 2*size+2*firstRead { // the allocator rounds up
					t.Errorf("%d bytes, %d announced: takes %d", size, said, cap(got))
				}
			}
		}
	}
	broken := errors.New("cut")
	if _, err := readBody(io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)), 200); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
