package proof

import (
	"fmt"
	"slices"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
)

const (
	anchorFileType = "qifeng-anchors"
	// anchorFileDepth is how far a written companion file is spread over lines: one
	// field of an anchor on each.
	anchorFileDepth = 3
)

// AnchorFile is a companion of a proof file: anchors alone, of one chain, that
// `qifeng proof upgrade` adds to a proof file, and that a verifier takes beside one.
// Its paths begin at size From.
type AnchorFile struct {
	Chain   string
	From    uint64   // size of the checkpoint that the paths begin at
	Anchors []Anchor // 0 to MaxFileAnchors, by rising kind and name
}

var anchorFileFields = canon.Fields("anchors", "chain", "from", "type", "v")

// ParseAnchorFile reads such a file; white space and key order are free. It checks
// the form and no more.
func ParseAnchorFile(data []byte) (*AnchorFile, error) {
	data, err := canon.Canonicalize(data, MaxAnchorFileBytes)
	if err != nil {
		return nil, fmt.Errorf("anchor file: %w", err)
	}
	return parseAnchorFile(data)
}

func parseAnchorFile(data []byte) (*AnchorFile, error) {
	f := &AnchorFile{}
	d := canon.NewDecoder(data)
	for key := range d.Object(anchorFileFields) {
		switch key {
		case "anchors":
			f.Anchors = decodeAnchors(d, MaxFileAnchors)
		case "chain":
			f.Chain = decodeChain(d)
		case "from":
			f.From = d.Int(1, canon.MaxInt)
		case "type":
			d.Enum(anchorFileType)
		case "v":
			d.Int(fileVersion, fileVersion)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("anchor file: %w", err)
	}
	return f, nil
}

// decodeChain reads a chain id.
func decodeChain(d *canon.Decoder) string {
	chain := d.String(64)
	if d.Err() == nil {
		if err := checkpoint.CheckChainID(chain); err != nil {
			d.Fail("%v", err)
		}
	}
	return chain
}

// Marshal returns the file as it is written, in the order of a file and spread over
// lines. It is read again before it is returned.
func (f *AnchorFile) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("anchors")
	writeAnchors(w, slices.SortedFunc(slices.Values(f.Anchors), compareAnchors))
	w.Key("chain").String(f.Chain).Key("from").Int(f.From).Key("type").String(anchorFileType).Key("v").Int(fileVersion).EndObject()
	if _, err := parseAnchorFile(w.Bytes()); err != nil {
		return nil, err
	}
	out := canon.Indent(w.Bytes(), anchorFileDepth)
	if len(out) > MaxAnchorFileBytes {
		return nil, fmt.Errorf("anchor file: has %d bytes, more than %d", len(out), MaxAnchorFileBytes)
	}
	return out, nil
}

// For returns the anchors for a proof file, or says why they are none of its: they
// are of another chain, or their paths begin at another checkpoint.
func (f *AnchorFile) For(p *File) ([]Anchor, error) {
	if !p.Sealed() {
		return nil, fmt.Errorf("anchor file: %w", ErrNotSealed)
	}
	if f.Chain != p.Chain {
		return nil, fmt.Errorf("anchor file: is of chain %s, the proof of %s", f.Chain, p.Chain)
	}
	from, err := noteState(p.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("anchor file: the proof's checkpoint: %w", err)
	}
	if f.From != from.Size {
		return nil, fmt.Errorf("anchor file: its paths begin at a ledger of %d entries, the proof's checkpoint is of %d: fetch the anchors for this proof",
			f.From, from.Size)
	}
	return f.Anchors, nil
}
