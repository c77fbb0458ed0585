package fsck

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"qifeng/internal/gm"
	"qifeng/proof"
)

// checkAudit follows the chain of the audit log's lines: each holds its number and
// the SM3 of the line before, zeros in the first.
func (c *checker) checkAudit() error {
	path := c.data("audit.log")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, maxAuditLine)
	var prev [32]byte
	for n := uint64(1); ; n++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				c.note(NoteTorn, c.rel(path), "%d bytes", len(line))
			}
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return reading(path, err)
		}
		var l struct {
			Seq  uint64 `json:"seq"`
			Prev string `json:"prev"`
		}
		if err == nil {
			err = json.Unmarshal(line, &l)
		}
		if err != nil || l.Seq != n || l.Prev != hex.EncodeToString(prev[:]) {
			return wrong(CodeAudit, c.rel(path), "the line does not follow the one before it").at("line", n)
		}
		prev = gm.SM3(bytes.TrimSuffix(line, []byte("\n")))
	}
}

// checkFrauds verifies the fraud proofs that the node keeps.
func (c *checker) checkFrauds() error {
	dir := c.data("fraud")
	list, _, err := names(dir)
	if err != nil {
		return err
	}
	good := 0
	for _, name := range list {
		path := filepath.Join(dir, name)
		if filepath.Ext(name) != ".json" {
			c.note(NoteUnknown, c.rel(path), "")
			continue
		}
		raw, err := c.readSmall(path)
		if err != nil {
			return err
		}
		f, err := proof.ParseFraud(raw)
		if err != nil {
			return wrong(CodeFraud, c.rel(path), "%v", err)
		}
		if r := proof.VerifyFraud(f, c.cons.policy, proof.Options{}); r.ExitCode() != 0 {
			return wrong(CodeFraud, c.rel(path), "it does not verify against the policy")
		}
		good++
	}
	if good > 0 {
		c.note(NoteFrauds, c.rel(dir), "%d", good)
	}
	return nil
}
