package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"qifeng/internal/durable"
)

// keepFork keeps the proof that a log has signed two roots of one size: both notes,
// byte for byte as the log signed them, in two files beside the state. The first
// proof of a log is kept for ever, and is enough. The witness goes on with the state
// that it holds: to cosign what grows out of it contradicts nothing.
func (s *Server) keepFork(log *slog.Logger, last held, seen []byte) {
	first, second := ForkFiles(s.cfg.State, last.origin)
	log.Error("a log has signed two roots of one size", "held", first, "seen", second)
	if len(last.note) == 0 {
		return // a false root of the empty tree, which nobody signed twice
	}
	for _, f := range []struct {
		path string
		note []byte
	}{{first, last.note}, {second, seen}} {
		if err := writeOnce(f.path, f.note); err != nil {
			log.Error("keeping the proof of a fork", "path", f.path, "err", err)
			return
		}
	}
}

// ForkFiles are the files that keep the first proof against a log, if there is one:
// the note that was cosigned, and one of the same size with another root.
func ForkFiles(state, origin string) (held, seen string) {
	h := sha256.Sum256([]byte(origin))
	base := state + ".fork-" + hex.EncodeToString(h[:8])
	return base + "-held.note", base + "-seen.note"
}

// writeOnce writes a file unless it is there already. One that a crash has cut short
// stays as it is: the log, and the other file, say the rest.
func writeOnce(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}
