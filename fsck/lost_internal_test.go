package fsck

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"
)

// TestLostList reads the list as archive/lost.go describes it.
func TestLostList(t *testing.T) {
	text := "qifeng-lost/v1\nspan 7 70 12\nbatch 8 11 0 5 0\nbatch 9 12 1 0 2\n"
	raw := fmt.Appendf(nil, "%send %08x\n", text, crc32.Checksum([]byte(text), castagnoliLost))
	l := &lostList{}
	if err := l.parse(raw); err != nil {
		t.Fatal(err)
	}
	if !l.passed(7, 70) || l.passed(6, 70) || l.passed(7, 71) || !l.passed(8, 70) {
		t.Error("the numbers that were passed over are not those of the span")
	}
	if l.has(7, 11) || l.has(8, 12) || l.has(10, 12) || !l.has(8, 11) || !l.has(9, 12) || l.found != 2 || l.records != 8 || l.first != 8 || l.last != 9 {
		t.Errorf("%+v", l)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if err := new(lostList).parse(bad); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
		if err := new(lostList).parse(raw[:i]); err == nil {
			t.Errorf("cut at %d: taken", i)
		}
	}
}
