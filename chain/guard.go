package chain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// guard remembers the newest checkpoint that this member's keys sealed, in a
// file beside the keys. It makes sure that the keys never seal two ledgers that
// contradict each other, whatever happens to the database.
//
// Order of a seal:
//
//  1. allow: the ledger at the guard's size has the guard's roots, the time
//     does not go back, the clock is not behind block time.
//  2. advance: the guard file says size, roots and time of the new seal, and is
//     on disk: written to a temporary file, fsynced, renamed, folder fsynced.
//  3. Only then is the seal made, stored, and sent.
//
// A crash between 2 and 3 leaves a guard ahead of what was sealed, which is
// harmless: sealing the same size again with a later time passes it. The file is
// never restored from a backup. To refuse is to give no seal; consensus goes on.
type guard struct {
	path   string
	origin string

	// have is what the file says; missing where there is none. An unreadable
	// file leaves broken set, and nothing is sealed until a person looks.
	have    guardRecord
	missing bool
	broken  error
}

type guardRecord struct {
	size uint64
	root merkle.Digest
	time int64 // Unix seconds of the seal
}

// InitGuard writes the guard of keys that have sealed nothing. It refuses to
// replace a guard.
func InitGuard(path, origin string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the guard: %w", err)
	}
	_, err = f.Write(encodeGuard(origin, guardRecord{root: merkle.EmptyRoot()}))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the guard %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

func openGuard(path, origin string) *guard {
	g := &guard{path: path, origin: origin}
	raw, err := readBounded(path, maxGuardBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.missing = true
	case err != nil:
		g.broken = err
	default:
		g.have, g.broken = decodeGuard(raw, origin)
	}
	return g
}

func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(raw)) > max {
		err = fmt.Errorf("%s is longer than %d bytes", path, max)
	}
	return raw, err
}

var guardFields = canon.Fields("origin", "root", "size", "time", "v")

func encodeGuard(origin string, r guardRecord) []byte {
	w := &canon.Writer{}
	w.Object().Key("origin").String(origin).Key("root").Digest(r.root).Key("size").Int(r.size).
		Key("time").Int(uint64(r.time)).Key("v").Int(1).EndObject()
	return append(w.Bytes(), '\n')
}

func decodeGuard(raw []byte, origin string) (guardRecord, error) {
	var r guardRecord
	if n := len(raw); n > 0 && raw[n-1] == '\n' {
		raw = raw[:n-1]
	}
	d := canon.NewDecoder(raw)
	for key := range d.Object(guardFields) {
		switch key {
		case "origin":
			if got := d.String(checkpoint.MaxChainID + 16); d.Err() == nil && got != origin {
				d.Fail("is %q; this chain is %q", got, origin)
			}
		case "root":
			r.root = d.Digest()
		case "size":
			r.size = d.Int(0, checkpoint.MaxSize)
		case "time":
			r.time = int64(d.Int(0, canon.MaxInt))
		case "v":
			d.Int(1, 1)
		}
	}
	if err := d.End(); err != nil {
		return guardRecord{}, fmt.Errorf("guard: %w", err)
	}
	return r, nil
}

// refusedSeal says why a seal is not given.
type refusedSeal struct {
	text  string
	alarm bool // a person must look
	wait  bool // the same seal may be given a moment later
}

func (r *refusedSeal) Error() string { return r.text }

// usable says why nothing can be sealed with this guard.
func (g *guard) usable() *refusedSeal {
	switch {
	case g.broken != nil:
		return &refusedSeal{text: fmt.Sprintf("the guard file %s cannot be used: %v", g.path, g.broken), alarm: true}
	case g.missing:
		return &refusedSeal{text: fmt.Sprintf("the guard file %s is missing; nothing is sealed until a sealed checkpoint of the others has been verified", g.path), alarm: true}
	}
	return nil
}

// allow decides whether size m may be sealed now. rootAt computes roots from
// the own ledger, whose size is ledger.
func (g *guard) allow(m uint64, now, blockTime time.Time, ledger uint64, rootAt func(uint64) (merkle.Digest, error)) *refusedSeal {
	if why := g.usable(); why != nil {
		return why
	}
	switch behind := g.have.time - now.Unix(); {
	case now.Add(clockBehind).Before(blockTime):
		return &refusedSeal{text: fmt.Sprintf("the clock of this node is more than %s behind block time", clockBehind), alarm: true, wait: true}
	case behind > 0:
		return &refusedSeal{text: "the last seal is dated after this node's clock; seal times never go back",
			alarm: behind > int64(clockBehind/time.Second), wait: true}
	case ledger < g.have.size:
		return &refusedSeal{text: fmt.Sprintf("these keys have sealed size %d and the ledger has %d entries: it is incomplete, or another one", g.have.size, ledger), alarm: true}
	case m < g.have.size:
		return &refusedSeal{text: fmt.Sprintf("size %d is older than the sealed size %d", m, g.have.size)}
	}
	root, err := rootAt(g.have.size)
	if err != nil {
		return &refusedSeal{text: fmt.Sprintf("recomputing the roots of the sealed size %d: %v", g.have.size, err), alarm: true}
	}
	if root != g.have.root {
		return &refusedSeal{text: fmt.Sprintf("the ledger contradicts what these keys have sealed: size %d was sealed with SM3 root %x and SHA-256 root %x, the ledger gives %x and %x",
			g.have.size, g.have.root.SM3, g.have.root.SHA256, root.SM3, root.SHA256), alarm: true}
	}
	return nil
}

// advance puts the next seal into the file, durably, before it is made.
func (g *guard) advance(r guardRecord) error {
	if g.broken != nil {
		return g.broken
	}
	if err := replaceFile(g.path, encodeGuard(g.origin, r)); err != nil {
		return fmt.Errorf("writing the guard: %w", err)
	}
	g.have, g.missing = r, false
	return nil
}

// replaceFile replaces a file atomically and durably: temporary file, fsync,
// rename, fsync of the folder. A crash leaves the old or the new file, and
// maybe the temporary one, which the next call truncates.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
