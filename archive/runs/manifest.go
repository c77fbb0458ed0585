package runs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

const (
	manifestName = "MANIFEST"
	runSuffix    = ".run"
	tmpSuffix    = ".tmp"
)

// manifest says which runs are live.
type manifest struct {
	key     hashKey
	numbers []uint64 // oldest first
}

func runName(number uint64) string { return fmt.Sprintf("%016d%s", number, runSuffix) }

func (m *manifest) encode() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "qifeng-runs/1\nkey %x\n", m.key)
	for _, n := range m.numbers {
		fmt.Fprintf(&b, "run %016d\n", n)
	}
	return fmt.Appendf(nil, "%ssum %08x\n", b.String(), crc32.Checksum([]byte(b.String()), castagnoli))
}

// decodeManifest accepts exactly what encode makes.
func decodeManifest(b []byte) (m manifest, err error) {
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 || lines[0] != "qifeng-runs/1" {
		return m, errors.New("it is no list of runs of version 1")
	}
	key, err := hex.DecodeString(strings.TrimPrefix(lines[1], "key "))
	if err != nil || len(key) != len(m.key) {
		return m, errors.New("it has no key")
	}
	m.key = hashKey(key)
	for _, line := range lines[2 : len(lines)-2] {
		var n uint64
		if _, err := fmt.Sscanf(line, "run %d", &n); err != nil {
			return m, fmt.Errorf("it has the line %.40q", line)
		}
		m.numbers = append(m.numbers, n)
	}
	if string(m.encode()) != string(b) {
		return m, errors.New("it does not match its checksum, or is written differently")
	}
	return m, nil
}

// readManifest returns nil where there is none.
func readManifest(d Disk, dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestName)
	f, err := d.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the list of runs: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	b := make([]byte, min(st.Size(), 1<<20)) // far more than any has
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, &DamagedError{path, err.Error()}
	}
	return &m, nil
}

func writeManifest(d Disk, dir string, m *manifest) error {
	path := filepath.Join(dir, manifestName)
	f, err := d.Create(path + tmpSuffix)
	if err != nil {
		return fmt.Errorf("writing the list of runs: %w", err)
	}
	_, err = f.WriteAt(m.encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Move(path+tmpSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("writing the list of runs: %w", errors.Join(err, ignoreMissing(d.Remove(path+tmpSuffix))))
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
