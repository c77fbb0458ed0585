package witness

import (
	"testing"

	"filippo.io/torchwood"
)

// FuzzHead: torchwood reads the same from whatever checkpoint we read.
func FuzzHead(f *testing.F) {
	f.Add("log.example/a\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	f.Add("log.example/a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nsm3 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHead(text)
		if err != nil {
			return
		}
		c, err := torchwood.ParseCheckpoint(text)
		if err != nil {
			t.Fatalf("torchwood refuses %q: %v", text, err)
		}
		if c.Origin != h.origin || uint64(c.N) != h.size || c.Hash != h.root || c.String() != text {
			t.Errorf("torchwood reads %+v, we %+v", c, h)
		}
	})
}
