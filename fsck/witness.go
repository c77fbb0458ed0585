package fsck

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// checkWitness looks at the key with which this node is a witness of other logs,
// and at the state that says what it has cosigned. Both are in no backup; where
// both are gone the node only refuses to be a witness.
func (c *checker) checkWitness() error {
	path, state := c.home.Keys.Witness, c.home.Keys.WitnessState
	if path == "" {
		return nil
	}
	key, err := gm.LoadPrivateKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(state); errors.Is(err, fs.ErrNotExist) {
			c.note(NoteNoWitness, c.rel(path), "")
			return nil
		}
		return wrong(CodeMissing, c.rel(path), "there is no witness key, and there is its state")
	}
	if err != nil {
		return wrong(CodeKey, c.rel(path), "%v", err)
	}
	if key.Public().Alg() != gm.Ed25519 {
		return wrong(CodeKey, c.rel(path), "a witness key is an Ed25519 key")
	}
	for _, id := range c.cons.ids {
		if card := c.cons.cards[id]; key.Public() == card.SealEd25519 || key.Public() == card.Log || key.Public() == card.Consensus {
			return wrong(CodeKey, c.rel(path), "it is a key of %s, and a witness key serves nothing else", id)
		}
	}
	if err := c.keyForm(path, key); err != nil {
		return err
	}
	raw, err := c.private(state)
	if err != nil {
		return err
	}
	if err := checkWitnessState(raw); err != nil {
		return wrong(CodeWitness, c.rel(state), "%v", err)
	}
	return nil
}

var (
	witnessFields = canon.Fields("logs", "sum", "v")
	cosigned      = canon.Fields("note", "origin", "time")
)

// checkWitnessState reads {"logs":[{"note","origin","time"},…],"sum","v":1} and a
// line end; sum is the pair of the bytes of logs, a note is in base64.
func checkWitnessState(raw []byte) error {
	text, ok := bytes.CutSuffix(raw, []byte("\n"))
	if !ok {
		return errors.New("its end is missing")
	}
	var logs []byte
	var sum merkle.Digest
	d := canon.NewDecoder(text)
	for key := range d.Object(witnessFields) {
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
		return err
	}
	if merkle.Sum(logs) != sum {
		return errors.New("its sum is not that of its logs")
	}
	before := ""
	d = canon.NewDecoder(logs)
	for range d.Array(0, maxWitnessed) {
		origin, note := "", ""
		for key := range d.Object(cosigned) {
			switch key {
			case "note":
				note = d.String(maxDocument)
			case "origin":
				origin = d.String(maxDocument)
			case "time":
				d.Int(1, canon.MaxInt)
			}
		}
		if d.Err() != nil {
			break
		}
		if origin <= before {
			return fmt.Errorf("the log %q stands twice or out of order", origin)
		}
		if err := checkCosigned(note, origin); err != nil {
			return fmt.Errorf("what it cosigned of %q: %w", origin, err)
		}
		before = origin
	}
	return d.End()
}

// checkCosigned reads a note of a foreign log: origin, size, SHA-256 root, further
// lines of the log's own, an empty line, signatures.
func checkCosigned(note, origin string) error {
	raw, err := base64.StdEncoding.DecodeString(note)
	if err != nil {
		return err
	}
	body, _, ok := strings.Cut(string(raw), "\n\n")
	lines := strings.Split(body, "\n")
	if !ok || len(lines) < 3 || lines[0] != origin {
		return errors.New("it is no note of this log")
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > checkpoint.MaxSize || strconv.FormatUint(size, 10) != lines[1] {
		return fmt.Errorf("%q is no size", lines[1])
	}
	if root, err := base64.StdEncoding.DecodeString(lines[2]); err != nil || len(root) != 32 {
		return fmt.Errorf("%q is no root", lines[2])
	}
	return nil
}
