package witness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"qifeng/evidence/canon"
	"qifeng/internal/durable"
	"qifeng/proof/merkle"
)

// The state file is what this witness has cosigned last of each log:
//
//	{"logs":[{"note":"<base64>","origin":"<origin>","time":<Unix seconds>},…],"sum":<pair of logs>,"v":1}
//
// canonical JSON and a line end, sorted by origin. A note is what the log signed: the
// body, and the lines of the log's keys. The sum is the plain pair of the bytes of
// logs. The file is made with the key, so one that is missing later was lost; it is
// never restored from a backup: an older state would let the log be cosigned twice.

// held is the last cosigned checkpoint of a log.
type held struct {
	head
	note []byte
	time int64 // of the cosignature
}

// InitState writes the state of a witness key that has signed nothing, with the key.
// It refuses to replace a file.
func InitState(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the state of the witness: %w", err)
	}
	_, err = f.Write(encodeState(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the state of the witness: %w", err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// ErrNoState says that a witness key has no state file: what it has signed is unknown.
var ErrNoState = errors.New("the state file of the witness is missing, so what its key has cosigned is unknown; make a new witness key, and have the logs register it")

func loadState(path string) (map[string]held, error) {
	raw, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s)", ErrNoState, path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of the witness: %w", err)
	}
	m, err := decodeState(raw)
	if err != nil {
		return nil, fmt.Errorf("the state of the witness in %s does not read, and is never guessed: %w", path, err)
	}
	return m, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(raw) > maxState {
		err = fmt.Errorf("%s has more than %d bytes", path, maxState)
	}
	return raw, err
}

func encodeState(m map[string]held) []byte {
	logs := &canon.Writer{}
	logs.Array()
	for _, origin := range slices.Sorted(maps.Keys(m)) {
		h := m[origin]
		logs.Object().Key("note").String(base64.StdEncoding.EncodeToString(h.note)).Key("origin").String(origin).
			Key("time").Int(uint64(h.time)).EndObject()
	}
	logs.EndArray()
	w := &canon.Writer{}
	w.Object().Key("logs").Raw(logs.Bytes()).Key("sum").Digest(merkle.Sum(logs.Bytes())).Key("v").Int(1).EndObject()
	return append(w.Bytes(), '\n')
}

var (
	stateFields = canon.Fields("logs", "sum", "v")
	logFields   = canon.Fields("note", "origin", "time")
)

func decodeState(raw []byte) (map[string]held, error) {
	text, ended := strings.CutSuffix(string(raw), "\n")
	if !ended {
		return nil, errors.New("its end is missing")
	}
	var logs []byte
	var sum merkle.Digest
	d := canon.NewDecoder([]byte(text))
	for key := range d.Object(stateFields) {
		switch key {
		case "logs":
			logs = d.Raw()
		case "sum":
			sum = d.Digest()
		case "v":
			d.Int(1, 1)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	if merkle.Sum(logs) != sum {
		return nil, errors.New("its sum is false")
	}
	return decodeLogs(logs)
}

func decodeLogs(raw []byte) (map[string]held, error) {
	m := make(map[string]held)
	last := ""
	d := canon.NewDecoder(raw)
	for range d.Array(0, maxKept) {
		h, origin, note := held{}, "", ""
		for key := range d.Object(logFields) {
			switch key {
			case "note":
				note = d.String(base64.StdEncoding.EncodedLen(maxHeld))
			case "origin":
				origin = d.String(maxOrigin)
			case "time":
				h.time = int64(d.Int(1, canon.MaxInt))
			}
		}
		if d.Err() != nil {
			break
		}
		if origin <= last {
			return nil, fmt.Errorf("origin %q is out of order", origin)
		}
		last = origin
		var err error
		if h.note, err = base64.StdEncoding.DecodeString(note); err != nil {
			return nil, fmt.Errorf("the note of %s: %w", origin, err)
		}
		if h.head, err = headOf(h.note); err != nil {
			return nil, fmt.Errorf("the note of %s: %w", origin, err)
		}
		if h.origin != origin {
			return nil, fmt.Errorf("the note of %s is of %q", origin, h.origin)
		}
		m[origin] = h
	}
	return m, d.End()
}

// headOf reads the head of a note that this witness has opened before.
func headOf(note []byte) (head, error) {
	i := strings.LastIndex(string(note), "\n\n")
	if i < 0 {
		return head{}, errors.New("no note")
	}
	return parseHead(string(note[:i+1]))
}

// replaceFile replaces a file atomically and durably: temporary file, fsync, rename,
// fsync of the folder. A crash leaves the old or the new file, and maybe the
// temporary one, which the next call truncates. Unless renamed is true the old file
// is still the one of that name.
func replaceFile(path string, data []byte) (renamed bool, err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	if err := point(pointWritten); err != nil {
		return false, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return false, err
	}
	if err := point(pointRenamed); err != nil {
		return true, err
	}
	return true, durable.SyncFolder(filepath.Dir(path))
}
