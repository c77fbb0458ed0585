package gm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSM3Many compares with both libraries, one message at a time: every length, every batch size
// around what fills the lanes, and random mixes.
func TestSM3Many(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	message := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	var batches [][][]byte
	var lengths [][]byte
	for n := range 301 {
		lengths = append(lengths, message(n))
	}
	batches = append(batches, lengths, nil)
	for count := range 41 {
		batch := make([][]byte, count)
		for i := range batch {
			batch[i] = message(rng.IntN(1500))
		}
		batches = append(batches, batch)
	}
	for _, prefix := range [][]byte{nil, {0}, {1}, message(maxManyPrefix)} {
		for _, batch := range batches {
			sums := make([][32]byte, len(batch))
			SM3Many(sums, prefix, batch)
			for i, msg := range batch {
				whole := append(bytes.Clone(prefix), msg...)
				if one, two := SM3(whole), SM3Second(whole); sums[i] != one || sums[i] != two {
					t.Fatalf("message %d of %d, %d bytes: SM3Many = %x, SM3 = %x, SM3Second = %x", i, len(batch), len(whole), sums[i], one, two)
				}
			}
		}
	}
}

// TestSM3ManyOpenSSL asks a third party.
func TestSM3ManyOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	dir := t.TempDir()
	var messages [][]byte
	args := []string{"dgst", "-sm3", "-r"}
	for n := range 40 {
		messages = append(messages, bytes.Repeat([]byte{byte(n)}, n*13))
		path := filepath.Join(dir, fmt.Sprint(n))
		if err := os.WriteFile(path, messages[n], 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(openssl, args...).CombinedOutput()
	if err != nil {
		t.Skipf("openssl without SM3: %s", out)
	}
	sums := make([][32]byte, len(messages))
	SM3Many(sums, nil, messages)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(sums) {
		t.Fatalf("openssl: %s", out)
	}
	for i, line := range lines {
		if want, _, _ := strings.Cut(line, " "); want != fmt.Sprintf("%x", sums[i]) {
			t.Errorf("message %d: %x, openssl %s", i, sums[i], want)
		}
	}
}

func TestSM3ManyMisuse(t *testing.T) {
	for name, call := range map[string]func(){
		"fewer sums":      func() { SM3Many(nil, nil, make([][]byte, 1)) },
		"more sums":       func() { SM3Many(make([][32]byte, 1), nil, nil) },
		"prefix too long": func() { SM3Many(nil, make([]byte, maxManyPrefix+1), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}

// FuzzSM3Many cuts bytes into messages, a length byte before each.
func FuzzSM3Many(f *testing.F) {
	f.Add([]byte{1}, []byte("\x03abc\x00\x01d\x02ee"))
	f.Add([]byte(nil), bytes.Repeat(append([]byte{64}, make([]byte, 64)...), 20))
	f.Fuzz(func(t *testing.T, prefix, data []byte) {
		prefix = prefix[:min(len(prefix), maxManyPrefix)]
		var messages [][]byte
		for len(data) > 0 {
			n := min(4*int(data[0]), len(data)-1)
			messages, data = append(messages, data[1:1+n]), data[1+n:]
		}
		sums := make([][32]byte, len(messages))
		SM3Many(sums, prefix, messages)
		for i, msg := range messages {
			if want := SM3(append(bytes.Clone(prefix), msg...)); sums[i] != want {
				t.Fatalf("message %d of %d, %x: %x, want %x", i, len(messages), msg, sums[i], want)
			}
		}
	})
}
