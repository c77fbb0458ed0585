package proof

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// AnchorKind is the format of an anchor's receipt.
type AnchorKind string

// The kinds of anchor (docs/spec/anchors.md).
const (
	AnchorFabric  AnchorKind = "fabric"
	AnchorRFC3161 AnchorKind = "rfc3161"
	AnchorWitness AnchorKind = "witness"
)

// AnchorKinds are all kinds, in the order in which a writer gives them room: the
// one with a time that a court knows first, the largest last.
var AnchorKinds = []AnchorKind{AnchorRFC3161, AnchorWitness, AnchorFabric}

// maxReceipt is the bound of a receipt of this kind; 0 where there is none.
func (k AnchorKind) maxReceipt() int {
	switch k {
	case AnchorFabric:
		return maxFabricReceipt
	case AnchorRFC3161:
		return maxToken
	}
	return 0
}

// Anchor is one element of a proof file's anchors: a checkpoint, at least as
// large as the proof's own, that an outside witness holds.
type Anchor struct {
	Kind       AnchorKind
	Name       string          // by which the anchor roots know the witness
	Checkpoint []byte          // the exact note that the receipt covers
	Path       []merkle.Digest // consistency, from the proof's checkpoint to this one; empty for equal sizes
	Receipt    []byte          // by kind: DER token; Fabric receipt; empty for a witness, whose line stands in the note
}

// CheckAnchorName accepts the names that an anchor may have: those of members.
func CheckAnchorName(name string) error {
	if err := checkpoint.CheckMemberID(name); err != nil {
		return fmt.Errorf("name of an anchor: %w", err)
	}
	return nil
}

// check refuses what no file could hold.
func (a *Anchor) check() error {
	if !slices.Contains(AnchorKinds, a.Kind) {
		return fmt.Errorf("unknown kind %q", a.Kind)
	}
	if err := CheckAnchorName(a.Name); err != nil {
		return err
	}
	if n := len(a.Checkpoint); n > maxNote {
		return fmt.Errorf("its note has %d bytes, more than %d", n, maxNote)
	}
	if n := len(a.Path); n > maxConsistency {
		return fmt.Errorf("its path has %d pairs, more than %d", n, maxConsistency)
	}
	return a.checkReceipt()
}

func (a *Anchor) checkReceipt() error {
	most := a.Kind.maxReceipt()
	switch n := len(a.Receipt); {
	case most == 0 && n > 0:
		return errors.New("a witness has no receipt: its line stands in the note")
	case most > 0 && n == 0:
		return errors.New("it has no receipt")
	case n > most:
		return fmt.Errorf("its receipt has %d bytes, more than %d", n, most)
	}
	return nil
}

// compareAnchors orders by kind, then by name: the order of a file.
func compareAnchors(a, b Anchor) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// comparePrecedence orders by the kinds of [AnchorKinds], then by name.
func comparePrecedence(a, b Anchor) int {
	return cmp.Or(cmp.Compare(slices.Index(AnchorKinds, a.Kind), slices.Index(AnchorKinds, b.Kind)), cmp.Compare(a.Name, b.Name))
}

var anchorFields = canon.Fields("checkpoint", "kind", "name", "path", "receipt?")

// decodeAnchors reads a list of at most most anchors, in order, none twice.
func decodeAnchors(d *canon.Decoder, most int) (out []Anchor) {
	for i := range d.Array(0, most) {
		a := decodeAnchor(d)
		if d.Err() != nil {
			return nil
		}
		if i > 0 && compareAnchors(out[i-1], a) >= 0 {
			d.Fail("anchors stand in rising order of kind and name, each once")
			return nil
		}
		out = append(out, a)
	}
	return out
}

func decodeAnchor(d *canon.Decoder) Anchor {
	var a Anchor
	for key := range d.Object(anchorFields) {
		switch key {
		case "checkpoint":
			a.Checkpoint = []byte(d.Text(maxNote))
		case "kind":
			a.Kind = AnchorKind(d.Enum(string(AnchorFabric), string(AnchorRFC3161), string(AnchorWitness)))
		case "name":
			a.Name = decodeAnchorName(d)
		case "path":
			a.Path = d.Digests(maxConsistency)
		case "receipt":
			a.Receipt = decodeBase64(d, a.Kind.maxReceipt())
		}
	}
	if d.Err() == nil {
		if err := a.checkReceipt(); err != nil {
			d.Fail("%v", err)
		}
	}
	return a
}

func decodeAnchorName(d *canon.Decoder) string {
	name := d.String(checkpoint.MaxMemberID)
	if d.Err() == nil {
		if err := CheckAnchorName(name); err != nil {
			d.Fail("%v", err)
		}
	}
	return name
}

// decodeBase64 reads bytes in base64 (RFC 4648 §4, padded), in the one spelling
// that they have.
func decodeBase64(d *canon.Decoder, most int) []byte {
	s := d.String(base64.StdEncoding.EncodedLen(most))
	if d.Err() != nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	switch {
	case err != nil || base64.StdEncoding.EncodeToString(b) != s:
		d.Fail("is not canonical base64")
	case len(b) == 0:
		d.Fail("is empty")
	case len(b) > most:
		d.Fail("has %d bytes, more than %d", len(b), most)
	default:
		return b
	}
	return nil
}

func writeAnchors(w *canon.Writer, list []Anchor) {
	w.Array()
	for _, a := range list {
		w.Object().Key("checkpoint").String(string(a.Checkpoint)).Key("kind").String(string(a.Kind)).
			Key("name").String(a.Name).Key("path").Digests(a.Path)
		if len(a.Receipt) > 0 {
			w.Key("receipt").String(base64.StdEncoding.EncodeToString(a.Receipt))
		}
		w.EndObject()
	}
	w.EndArray()
}

// AddAnchors adds anchors to the file, in the order of [AnchorKinds] and of their
// names, as many as there is room for, and returns those that were left out. An
// anchor that the file has already, by kind and name, stays as it is, and all
// else in the file does. It refuses an anchor that does not lead on from the
// file's checkpoint, and then changes nothing; whether it verifies is
// [Verify]'s question.
func (f *File) AddAnchors(anchors []Anchor) (left []Anchor, err error) {
	if len(anchors) == 0 {
		return nil, nil
	}
	if !f.Sealed() {
		return nil, fmt.Errorf("adding anchors: %w", ErrNotSealed)
	}
	from, err := noteState(f.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("adding anchors: the file's checkpoint: %w", err)
	}
	for i := range anchors {
		a := &anchors[i]
		err := a.check()
		if err == nil {
			err = a.leadsFrom(from)
		}
		if err != nil {
			return nil, fmt.Errorf("adding anchor %s %q: %w", a.Kind, a.Name, err)
		}
	}
	queue := slices.Clone(anchors)
	slices.SortStableFunc(queue, comparePrecedence)
	next := *f
	next.Anchors = slices.Clone(f.Anchors)
	for _, a := range queue {
		at, found := slices.BinarySearchFunc(next.Anchors, a, compareAnchors)
		if found {
			continue
		}
		more := next
		more.Anchors = slices.Insert(slices.Clone(next.Anchors), at, a)
		if len(more.Anchors) > MaxAnchors || len(canon.Indent(more.canonical(), indentDepth)) > MaxFileBytes {
			left = append(left, a)
			continue
		}
		next = more
	}
	if _, err := next.Marshal(); err != nil {
		return nil, fmt.Errorf("adding anchors: %w", err)
	}
	f.Anchors = next.Anchors
	return left, nil
}

// noteState reads what a note is of; nothing of it is verified.
func noteState(note []byte) (checkpoint.Checkpoint, error) {
	cut := bytes.LastIndex(note, []byte("\n\n"))
	if cut < 0 {
		return checkpoint.Checkpoint{}, fmt.Errorf("%w note: no blank line before the signatures", checkpoint.ErrMalformed)
	}
	return checkpoint.ParseBody(note[:cut+1])
}

// leadsFrom checks that the anchor's checkpoint is a later state, or the same
// one, of the ledger that from is of.
func (a *Anchor) leadsFrom(from checkpoint.Checkpoint) error {
	to, err := noteState(a.Checkpoint)
	if err != nil {
		return err
	}
	if to.Origin != from.Origin {
		return fmt.Errorf("its checkpoint is of %s, the proof's of %s", to.Origin, from.Origin)
	}
	return merkle.VerifyConsistency(from.Size, to.Size, from.Root, to.Root, a.Path)
}
