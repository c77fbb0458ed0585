package gm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"qifeng/internal/durable"
)

// LoadPrivateKey reads a key file. It refuses a file that group or others may read or write,
// and the error says how to put that right.
func LoadPrivateKey(path string) (*PrivateKey, error) {
	k, err := loadPrivateKey(path)
	if err != nil {
		return nil, fmt.Errorf("loading private key %s: %w", path, err)
	}
	return k, nil
}

func loadPrivateKey(path string) (*PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The mode of the open file, not of the path: what is checked is what is read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("mode %04o lets others at it; run: chmod 600 %s", mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, err
	}
	return ParsePrivateKey(text)
}

// SavePrivateKey writes a new key file, mode 0600, and never overwrites one. preamble is one line
// beginning "# " that is put before the PEM block, or empty.
//
// Order: 1. create the file, exclusively; 2. write; 3. fsync the file; 4. fsync its folder. A crash
// before 3 may leave an empty or short file, which LoadPrivateKey refuses; after 4 the key is on
// disk. On an error the file is removed, so that the next try does not meet it.
func SavePrivateKey(path string, k *PrivateKey, preamble string) error {
	if err := savePrivateKey(path, k, preamble); err != nil {
		return fmt.Errorf("saving private key %s: %w", path, err)
	}
	return nil
}

func savePrivateKey(path string, k *PrivateKey, preamble string) error {
	if err := checkPreamble(preamble); err != nil {
		return err
	}
	text, err := k.MarshalPEM()
	if err != nil {
		return err
	}
	if preamble != "" {
		text = append([]byte(preamble+"\n"), text...)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func checkPreamble(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxPreamble || !strings.HasPrefix(s, "# ") || strings.Contains(s, "-----") {
		return errors.New("preamble must be one short line beginning with \"# \"")
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return errors.New("preamble has a control character")
		}
	}
	return nil
}
