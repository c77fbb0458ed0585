package node

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"qifeng/api"
	"qifeng/evidence/canon"
	"qifeng/internal/durable"
	"qifeng/internal/gm"
)

// auditName is the audit log in the data folder.
const auditName = "audit.log"

// auditLine is one line of the audit log, a JSON object. prev is the SM3 of the
// line before without its line feed, zeros in the first: a line that is changed,
// taken out or put in between shows. That lines at the end are missing shows
// against the number and the hash that every start and stop logs.
type auditLine struct {
	Seq     uint64 `json:"seq"` // from 1
	Time    string `json:"time"`
	Member  string `json:"member"`
	Key     string `json:"key"`
	Lookup  string `json:"lookup"`
	Subject string `json:"subject"`
	Results int    `json:"results"`
	Request string `json:"request_id"`
	Prev    string `json:"prev"`
}

// auditLog is the file of look-ups (api.Auditor). A line is on the disk before
// its look-up is answered; half a line at the end, of a crash in between, is one
// of a look-up that nobody was answered, and is cut off at the next start.
type auditLog struct {
	log *slog.Logger

	mu     sync.Mutex // guards all below
	f      *os.File
	size   int64 // of the whole lines
	seq    uint64
	prev   [32]byte
	broken error // after which nothing is written any more
}

// openAudit opens or makes the log and reads it from the beginning. One whose
// chain is broken refuses every look-up: somebody must see it, but the node's
// other work is no part of that.
func openAudit(path string, log *slog.Logger) (*auditLog, error) {
	fresh := !exists(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	a := &auditLog{log: log, f: f}
	if fresh {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if err == nil {
		err = a.load()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if a.broken != nil {
		log.Error("ALARM: the audit log is not as it was written: look-ups by neutral members are refused until it is moved away and kept", "error", a.broken)
	}
	log.Info("audit log opened", "lines", a.seq, "head", hex.EncodeToString(a.prev[:]))
	return a, nil
}

// load follows the chain of the lines and cuts off half a line at the end.
func (a *auditLog) load() error {
	r := bufio.NewReaderSize(a.f, maxAuditLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return nil
			}
			a.log.Warn("cutting half a line off the audit log: its look-up was not answered", "bytes", len(line))
			return a.f.Truncate(a.size)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		var l auditLine
		if err == nil {
			err = json.Unmarshal(line, &l)
		}
		if err != nil || l.Seq != a.seq+1 || l.Prev != hex.EncodeToString(a.prev[:]) {
			a.broken = fmt.Errorf("line %d does not follow the one before it", a.seq+1)
			return nil
		}
		a.seq, a.prev = l.Seq, gm.SM3(bytes.TrimSuffix(line, []byte("\n")))
		a.size += int64(len(line))
	}
}

// Audit writes a look-up down: append, fsync, and only then the chain goes on.
// What cannot be written whole is taken back; where that cannot be done either,
// or the disk may have lost what it was given, nothing more is written.
func (a *auditLog) Audit(l api.Lookup) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != nil {
		return fmt.Errorf("the audit log is closed: %w", a.broken)
	}
	line, err := json.Marshal(auditLine{
		Seq: a.seq + 1, Time: l.Time.UTC().Format(canon.TimeLayout), Member: l.Member, Key: l.Key,
		Lookup: string(l.Kind), Subject: l.Subject, Results: l.Results, Request: l.Request,
		Prev: hex.EncodeToString(a.prev[:]),
	})
	if err != nil {
		return err
	}
	if _, err := a.f.Write(append(line, '\n')); err != nil {
		if terr := a.f.Truncate(a.size); terr != nil {
			a.broken = errors.Join(err, terr)
		}
		return err
	}
	if err := a.f.Sync(); err != nil {
		a.broken = err
		return err
	}
	a.seq, a.prev, a.size = a.seq+1, gm.SM3(line), a.size+int64(len(line))+1
	return nil
}

// state is how many lines the log has, and whether more can be written.
func (a *auditLog) state() (lines uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seq, a.broken == nil
}

// close logs where the chain ends.
func (a *auditLog) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f == nil {
		return nil
	}
	a.log.Info("audit log closed", "lines", a.seq, "head", hex.EncodeToString(a.prev[:]))
	err := a.f.Close()
	a.f, a.broken = nil, os.ErrClosed
	return err
}
