package proof

import (
	"fmt"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/proof/merkle"
)

const (
	fileType    = "qifeng-proof"
	fileVersion = 1
)

// File is a proof file. Batch, Key and Checkpoint stand together; without them
// the file says only that the record was accepted, and has no anchors.
type File struct {
	Chain      string // chain id
	Record     []byte // canonical bytes: the leaf data
	Statement  StatementPart
	Receipt    ReceiptPart
	Batch      *BatchPart
	Key        *KeyPart
	Checkpoint []byte // signed note
	// Anchors are held by outside witnesses: 0 to MaxAnchors, by rising kind and name.
	Anchors []Anchor

	record    *evidence.Record
	statement *evidence.Statement
	receipt   *evidence.ReceiptHead
	batch     *evidence.Batch
	key       *evidence.KeyEntry
}

// StatementPart is the submitter's signed statement and the path of this
// submission to its root; index and count stand in the record and statement.
type StatementPart struct {
	Path   []merkle.Digest
	Signed []byte
}

// ReceiptPart is the node's signed promise and the path of this record to its
// root.
type ReceiptPart struct {
	Head  []byte
	Index uint64
	Path  []merkle.Digest
}

// BatchPart is the batch header, as it stands on the ledger: its own place
// there, and the record's place in its stream.
type BatchPart struct {
	Entry       []byte
	Index       uint64 // in the ledger
	Path        []merkle.Digest
	StreamIndex uint64
	StreamPath  []merkle.Digest
}

// KeyPart is the key entry that registers the submitter's key, and its place
// in the ledger.
type KeyPart struct {
	Entry []byte
	Index uint64
	Path  []merkle.Digest
}

var (
	fileFields      = canon.Fields("anchors", "batch?", "chain", "checkpoint?", "key?", "receipt", "record", "statement", "type", "v")
	statementFields = canon.Fields("path", "signed")
	receiptFields   = canon.Fields("head", "index", "path")
	batchFields     = canon.Fields("entry", "index", "path", "stream_index", "stream_path")
	keyFields       = canon.Fields("entry", "index", "path")
)

// Parse reads a proof file; white space and key order are free. It checks the
// form of everything inside and no relation between the parts: that is
// [Verify]'s. An error names the field.
func Parse(data []byte) (*File, error) {
	data, err := canon.Canonicalize(data, MaxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("proof file: %w", err)
	}
	return parseCanonical(data)
}

// parseCanonical is Parse of what is canonical already; it refuses what is not.
func parseCanonical(data []byte) (*File, error) {
	f := &File{}
	d := canon.NewDecoder(data)
	for key := range d.Object(fileFields) {
		f.decodeField(d, key)
	}
	if d.Err() == nil {
		f.checkParts(d)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("proof file: %w", err)
	}
	if err := f.parseParts(); err != nil {
		return nil, fmt.Errorf("proof file: %w", err)
	}
	return f, nil
}

func (f *File) decodeField(d *canon.Decoder, key string) {
	switch key {
	case "anchors":
		f.Anchors = decodeAnchors(d, MaxAnchors)
	case "batch":
		f.Batch = decodeBatchPart(d)
	case "chain":
		f.Chain = decodeChain(d)
	case "checkpoint":
		f.Checkpoint = []byte(d.Text(maxNote))
	case "key":
		f.Key = decodeKeyPart(d)
	case "receipt":
		for key := range d.Object(receiptFields) {
			switch key {
			case "head":
				f.Receipt.Head = []byte(d.String(evidence.MaxSignedBytes))
			case "index":
				f.Receipt.Index = d.Int(0, evidence.MaxBatchRecords-1)
			case "path":
				f.Receipt.Path = d.Digests(evidence.MaxPath)
			}
		}
	case "record":
		f.Record = []byte(d.String(evidence.MaxRecordBytes))
	case "statement":
		for key := range d.Object(statementFields) {
			switch key {
			case "path":
				f.Statement.Path = d.Digests(evidence.MaxPath)
			case "signed":
				f.Statement.Signed = []byte(d.String(evidence.MaxSignedBytes))
			}
		}
	case "type":
		d.Enum(fileType)
	case "v":
		d.Int(fileVersion, fileVersion)
	}
}

func decodeBatchPart(d *canon.Decoder) *BatchPart {
	p := &BatchPart{}
	for key := range d.Object(batchFields) {
		switch key {
		case "entry":
			p.Entry = []byte(d.String(maxEntry))
		case "index":
			p.Index = d.Int(1, canon.MaxInt)
		case "path":
			p.Path = d.Digests(evidence.MaxPath)
		case "stream_index":
			p.StreamIndex = d.Int(0, evidence.MaxBatchRecords-1)
		case "stream_path":
			p.StreamPath = d.Digests(evidence.MaxPath)
		}
	}
	return p
}

func decodeKeyPart(d *canon.Decoder) *KeyPart {
	p := &KeyPart{}
	for key := range d.Object(keyFields) {
		switch key {
		case "entry":
			p.Entry = []byte(d.String(maxEntry))
		case "index":
			p.Index = d.Int(1, canon.MaxInt)
		case "path":
			p.Path = d.Digests(evidence.MaxPath)
		}
	}
	return p
}

func (f *File) checkParts(d *canon.Decoder) {
	n := 0
	for _, present := range []bool{f.Batch != nil, f.Key != nil, f.Checkpoint != nil} {
		if present {
			n++
		}
	}
	if n != 0 && n != 3 {
		d.Fail("has only some of batch, key and checkpoint; they stand together or not at all")
	}
	if n == 0 && len(f.Anchors) > 0 {
		d.Fail("has anchors and no checkpoint")
	}
}

// parseParts reads the documents inside.
func (f *File) parseParts() (err error) {
	if f.record, err = evidence.ParseRecord(f.Record); err != nil {
		return fmt.Errorf("field \"record\": %w", err)
	}
	if f.statement, err = evidence.ParseStatement(f.Statement.Signed); err != nil {
		return fmt.Errorf("field \"statement.signed\": %w", err)
	}
	if f.receipt, err = evidence.ParseReceiptHead(f.Receipt.Head); err != nil {
		return fmt.Errorf("field \"receipt.head\": %w", err)
	}
	if f.Batch == nil {
		return nil
	}
	if f.batch, err = evidence.ParseBatch(f.Batch.Entry); err != nil {
		return fmt.Errorf("field \"batch.entry\": %w", err)
	}
	if f.key, err = evidence.ParseKeyEntry(f.Key.Entry); err != nil {
		return fmt.Errorf("field \"key.entry\": %w", err)
	}
	return nil
}

// Marshal returns the file as it is written, spread over lines.
func (f *File) Marshal() ([]byte, error) {
	out, _, err := f.Written()
	return out, err
}

// Written is Marshal, and the file as [Parse] reads it from what is written.
func (f *File) Written() (out []byte, read *File, err error) {
	line := f.canonical()
	if read, err = parseCanonical(line); err != nil {
		return nil, nil, err
	}
	if out = canon.Indent(line, indentDepth); len(out) > MaxFileBytes {
		return nil, nil, fmt.Errorf("proof file: has %d bytes, more than %d", len(out), MaxFileBytes)
	}
	return out, read, nil
}

// Compact returns the file on one line, as it stands inside other JSON. It is
// read again before it is returned: what nobody could read is not written.
func (f *File) Compact() ([]byte, error) {
	out := f.canonical()
	if _, err := parseCanonical(out); err != nil {
		return nil, err
	}
	return out, nil
}

func (f *File) canonical() []byte {
	w := canon.NewWriter(make([]byte, 0, 2*(len(f.Record)+len(f.Statement.Signed)+len(f.Receipt.Head))))
	w.Object().Key("anchors")
	writeAnchors(w, f.Anchors)
	if b := f.Batch; b != nil {
		w.Key("batch").Object().Key("entry").String(string(b.Entry)).Key("index").Int(b.Index).Key("path").Digests(b.Path).
			Key("stream_index").Int(b.StreamIndex).Key("stream_path").Digests(b.StreamPath).EndObject()
	}
	w.Key("chain").String(f.Chain)
	if f.Checkpoint != nil {
		w.Key("checkpoint").String(string(f.Checkpoint))
	}
	if k := f.Key; k != nil {
		w.Key("key").Object().Key("entry").String(string(k.Entry)).Key("index").Int(k.Index).Key("path").Digests(k.Path).EndObject()
	}
	w.Key("receipt").Object().Key("head").String(string(f.Receipt.Head)).Key("index").Int(f.Receipt.Index).
		Key("path").Digests(f.Receipt.Path).EndObject()
	w.Key("record").String(string(f.Record))
	w.Key("statement").Object().Key("path").Digests(f.Statement.Path).Key("signed").String(string(f.Statement.Signed)).EndObject()
	w.Key("type").String(fileType).Key("v").Int(fileVersion).EndObject()
	return w.Bytes()
}

// RecordOf returns the record inside, which must have been parsed.
func (f *File) RecordOf() *evidence.Record { return f.record }

// Sealed reports whether the file holds a checkpoint, not whether it verifies.
func (f *File) Sealed() bool { return f.Checkpoint != nil }
