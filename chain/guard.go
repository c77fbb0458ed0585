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
	"qifeng/internal/durable"
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
// harmless: sealing the same size again with a later time passes it. A crash
// before 2 leaves the old guard and no seal. The file is never restored from a
// backup. To refuse is to give no seal; consensus goes on.
type guard struct {
	path   string
	origin string

	// have is what the file says; missing where there is none. An unreadable
	// file leaves broken set, and nothing is sealed until a person looks. doubt
	// says why the keys may have sealed more than a readable file knows; like a
	// missing file it is healed by the others' seals (sealer.adopt).
	have    guardRecord
	missing bool
	broken  error
	doubt   *refusedSeal
}

type guardRecord struct {
	size uint64
	root merkle.Digest
	time int64 // Unix seconds of the seal
}

// NoOrigin is the origin of a guard whose keys belong to no chain yet.
const NoOrigin = "-"

// InitGuard writes the guard of keys that have sealed nothing, with the keys: a
// guard that is missing later is always a lost one. It refuses to replace a
// guard.
func InitGuard(path, origin string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the guard: %w", err)
	}
	_, err = f.Write(encodeGuard(origin, guardRecord{root: merkle.EmptyRoot()}))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the guard %s: %w", path, err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// BindGuard gives a guard that was made for [NoOrigin] the origin of the chain
// that its keys join. A guard of that origin is left as it is; a missing one is
// an error, because nobody knows what the keys have sealed.
func BindGuard(path, origin string) error {
	raw, err := readBounded(path, maxGuardBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the guard %s is missing: what the seal keys have sealed is unknown, so they cannot join a chain anew", path)
	}
	if err != nil {
		return err
	}
	if _, err := decodeGuard(raw, origin); !errors.Is(err, errOrigin) {
		return err
	}
	r, err := decodeGuard(raw, NoOrigin)
	if errors.Is(err, errOrigin) {
		return fmt.Errorf("the guard %s is of another chain than %s: its keys have joined that one", path, origin)
	}
	if err != nil {
		return err
	}
	if err := replaceFile(path, encodeGuard(origin, r), 0o600); err != nil {
		return fmt.Errorf("binding the guard: %w", err)
	}
	return nil
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
	var got string
	for key := range d.Object(guardFields) {
		switch key {
		case "origin":
			got = d.String(checkpoint.MaxChainID + 16)
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
	if got != origin {
		return guardRecord{}, fmt.Errorf("guard: %w: it is of %q, this chain is %q", errOrigin, got, origin)
	}
	return r, nil
}

var errOrigin = errors.New("another chain's guard")

// refusedSeal says why a seal is not given.
type refusedSeal struct {
	code  Code
	text  string
	alarm bool // a person must look
	wait  bool // the same seal may be given a moment later
}

func (r *refusedSeal) Error() string { return r.text }

// usable says why nothing can be sealed with this guard.
func (g *guard) usable() *refusedSeal {
	switch {
	case errors.Is(g.broken, errOrigin):
		return &refusedSeal{code: CodeGuardOrigin, text: fmt.Sprintf("the guard file %s cannot be used: %v", g.path, g.broken), alarm: true}
	case g.broken != nil:
		return &refusedSeal{code: CodeGuardUnreadable, text: fmt.Sprintf("the guard file %s cannot be used: %v", g.path, g.broken), alarm: true}
	case g.missing:
		return &refusedSeal{code: CodeGuardMissing, text: fmt.Sprintf("the guard file %s is missing; nothing is sealed until a sealed checkpoint of the others has been verified", g.path), alarm: true}
	}
	return g.doubt
}

// allow decides whether size m may be sealed now. rootAt computes roots from
// the own ledger, whose size is ledger.
func (g *guard) allow(m uint64, now, blockTime time.Time, ledger uint64, rootAt func(uint64) (merkle.Digest, error)) *refusedSeal {
	if why := g.usable(); why != nil {
		return why
	}
	switch behind := g.have.time - now.Unix(); {
	case now.Add(clockBehind).Before(blockTime):
		return &refusedSeal{code: CodeClockBehind, text: fmt.Sprintf("the clock of this node is more than %s behind block time", clockBehind), alarm: true, wait: true}
	case behind > 0:
		return &refusedSeal{code: CodeClockBack, text: "the last seal is dated after this node's clock; seal times never go back",
			alarm: behind > int64(clockBehind/time.Second), wait: true}
	case ledger < g.have.size:
		return &refusedSeal{code: CodeLedgerShort, text: fmt.Sprintf("these keys have sealed size %d and the ledger has %d entries: it is incomplete, or another one", g.have.size, ledger), alarm: true}
	case m < g.have.size:
		return &refusedSeal{code: CodeSealOlder, text: fmt.Sprintf("size %d is older than the sealed size %d", m, g.have.size)}
	}
	return g.holds(rootAt)
}

// holds says whether the own ledger has the roots that the guard remembers.
func (g *guard) holds(rootAt func(uint64) (merkle.Digest, error)) *refusedSeal {
	root, err := rootAt(g.have.size)
	if err != nil {
		return &refusedSeal{code: CodeLedgerUnreadable, text: fmt.Sprintf("recomputing the roots of the sealed size %d: %v", g.have.size, err), alarm: true}
	}
	if root != g.have.root {
		return &refusedSeal{code: CodeLedgerContradicts, text: fmt.Sprintf("the ledger contradicts what these keys have sealed: size %d was sealed with SM3 root %x and SHA-256 root %x, the ledger gives %x and %x",
			g.have.size, g.have.root.SM3, g.have.root.SHA256, root.SM3, root.SHA256), alarm: true}
	}
	return nil
}

// advance puts the next seal into the file, durably, before it is made.
func (g *guard) advance(r guardRecord) error {
	if g.broken != nil {
		return g.broken
	}
	if err := replaceFile(g.path, encodeGuard(g.origin, r), 0o600); err != nil {
		return fmt.Errorf("writing the guard: %w", err)
	}
	g.have, g.missing, g.doubt = r, false, nil
	return nil
}

// replaceFile replaces a file atomically and durably: temporary file, fsync,
// rename, fsync of the folder. A crash leaves the old or the new file, and
// maybe the temporary one, which the next call truncates.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := point(pointGuardWritten); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := point(pointGuardRenamed); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}
