package fabric

import (
	"fmt"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
)

// An entry is what the chaincode keeps for a checkpoint, what its event carries
// and what its function get answers: canonical JSON
//
//	{"note":{"sha256":…,"sm3":…},"origin":"qifeng/…","root":{"sha256":…,"sm3":…},"size":n}
//
// It is the [Statement] that a receipt proves, so both sides write it here.
var entryFields = canon.Fields("note", "origin", "root", "size")

// Marshal returns the entry's bytes.
func (s Statement) Marshal() []byte {
	w := canon.NewWriter(nil).Object()
	w.Key("note").Digest(s.Note)
	w.Key("origin").String(s.Origin)
	w.Key("root").Digest(s.Root)
	w.Key("size").Int(s.Size)
	return w.EndObject().Bytes()
}

// ParseStatement reads an entry; only its canonical bytes are one.
func ParseStatement(data []byte) (Statement, error) {
	var s Statement
	if len(data) > MaxEntry {
		return s, fmt.Errorf("reading an entry: %d bytes, at most %d", len(data), MaxEntry)
	}
	d := canon.NewDecoder(data)
	for key := range d.Object(entryFields) {
		switch key {
		case "note":
			s.Note = d.Digest()
		case "origin":
			s.Origin = d.String(maxOrigin)
		case "root":
			s.Root = d.Digest()
		case "size":
			s.Size = d.Int(1, checkpoint.MaxSize)
		}
	}
	if err := d.End(); err != nil {
		return Statement{}, fmt.Errorf("reading an entry: %w", err)
	}
	return s, nil
}

// Names of the chaincode's interface.
const (
	FunctionPut  = "put"  // note, old size in decimal, consistency path
	FunctionGet  = "get"  // origin, size in decimal: the entry
	FunctionHead = "head" // origin: the newest entry
	EventName    = "checkpoint"
)

// EntryKey is where the chaincode's state keeps a checkpoint.
func EntryKey(origin string, size uint64) string { return fmt.Sprintf("cp/%s/%016x", origin, size) }

// HeadKey is where it keeps the newest one of an origin.
func HeadKey(origin string) string { return "head/" + origin }
