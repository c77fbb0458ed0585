package fsck

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"qifeng/proof/merkle"
)

func witnessState(logs string) []byte {
	sum := merkle.Sum([]byte(logs))
	return fmt.Appendf(nil, `{"logs":%s,"sum":{"sha256":"%x","sm3":"%x"},"v":1}`+"\n", logs, sum.SHA256, sum.SM3)
}

func cosignedLog(origin, size string) string {
	note := fmt.Sprintf("%s\n%s\n%s\n\n— x AAAA\n", origin, size, base64.StdEncoding.EncodeToString(make([]byte, 32)))
	return fmt.Sprintf(`{"note":"%s","origin":"%s","time":1700000000}`, base64.StdEncoding.EncodeToString([]byte(note)), origin)
}

// TestWitnessState changes every byte of a state and cuts it at every length, and
// makes states that no witness writes, with their sums right.
func TestWitnessState(t *testing.T) {
	a, b := cosignedLog("log.example/a", "7"), cosignedLog("log.example/b", "1")
	good := witnessState("[" + a + "," + b + "]")
	for _, s := range [][]byte{good, witnessState("[]")} {
		if err := checkWitnessState(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if checkWitnessState(bad) == nil || checkWitnessState(good[:i]) == nil {
			t.Errorf("changed or cut at byte %d it is good", i)
		}
	}
	for name, logs := range map[string]string{
		"out of order": "[" + b + "," + a + "]", "twice": "[" + a + "," + a + "]", "a size that is none": "[" + cosignedLog("log.example/a", "07") + "]",
		"of another log": "[" + strings.Replace(a, `"origin":"log.example/a"`, `"origin":"log.example/c"`, 1) + "]",
		"without a time": "[" + strings.Replace(a, "1700000000", "0", 1) + "]", "no list": "{}",
	} {
		if checkWitnessState(witnessState(logs)) == nil {
			t.Errorf("%s: it is good", name)
		}
	}
}

func FuzzWitnessState(f *testing.F) {
	f.Add(witnessState("[" + cosignedLog("log.example/a", "7") + "]"))
	f.Fuzz(func(t *testing.T, raw []byte) { _ = checkWitnessState(raw) })
}
