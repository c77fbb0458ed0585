package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"qifeng/proof/checkpoint"
)

// emptyRoot is the SHA-256 root of a tree without leaves (RFC 9162 §2.1.1).
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// submission is an add-checkpoint request; nothing of it is verified.
type submission struct {
	old    uint64
	proof  tlog.TreeProof
	note   []byte
	origin string // the note's first line
}

// parseSubmission reads the body of an add-checkpoint request.
func parseSubmission(body []byte) (submission, error) {
	head, note, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return submission{}, errors.New("no empty line after the consistency proof")
	}
	lines := strings.Split(string(head), "\n")
	text, ok := strings.CutPrefix(lines[0], "old ")
	if !ok {
		return submission{}, errors.New("the first line is not the old size")
	}
	s := submission{note: note}
	var err error
	if s.old, err = parseSize(text); err != nil {
		return submission{}, fmt.Errorf("old size: %w", err)
	}
	if len(lines)-1 > maxProof {
		return submission{}, fmt.Errorf("more than %d lines of proof", maxProof)
	}
	for _, l := range lines[1:] {
		h, err := parseHash(l)
		if err != nil {
			return submission{}, fmt.Errorf("consistency proof: %w", err)
		}
		s.proof = append(s.proof, h)
	}
	s.origin, _, ok = strings.Cut(string(note), "\n")
	if !ok {
		return submission{}, errors.New("no checkpoint after the empty line")
	}
	return s, nil
}

// head is the first three lines of a checkpoint of any log (c2sp.org/tlog-checkpoint).
type head struct {
	origin string
	size   uint64
	root   tlog.Hash
}

// parseHead reads a checkpoint's text. Extension lines are the log's own matter: they
// are cosigned with the rest, and this witness says nothing about them.
func parseHead(text string) (head, error) {
	body, ended := strings.CutSuffix(text, "\n")
	lines := strings.Split(body, "\n")
	if !ended || len(lines) < 3 {
		return head{}, errors.New("a checkpoint has at least three lines, each ended")
	}
	for _, l := range lines {
		if l == "" {
			return head{}, errors.New("a checkpoint has no empty line")
		}
	}
	h := head{origin: lines[0]}
	var err error
	if h.size, err = parseSize(lines[1]); err != nil {
		return head{}, fmt.Errorf("checkpoint size: %w", err)
	}
	if h.root, err = parseHash(lines[2]); err != nil {
		return head{}, fmt.Errorf("checkpoint root: %w", err)
	}
	return h, nil
}

// parseSize reads a decimal without sign or leading zeros. It ends where canonical
// JSON does, in which the state is kept; no log comes near.
func parseSize(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s || n > checkpoint.MaxSize {
		return 0, fmt.Errorf("%q is no plain decimal up to %d", s, uint64(checkpoint.MaxSize))
	}
	return n, nil
}

// parseHash reads 32 bytes in the one canonical spelling of base64.
func parseHash(s string) (tlog.Hash, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != tlog.HashSize || base64.StdEncoding.EncodeToString(raw) != s {
		return tlog.Hash{}, fmt.Errorf("%q is no base64 of %d bytes", s, tlog.HashSize)
	}
	return tlog.Hash(raw), nil
}

// grows says whether a tree grew out of the one that is held, by the proof alone.
func grows(held, next head, proof tlog.TreeProof) bool {
	switch {
	case held.size == next.size:
		return len(proof) == 0 && held.root == next.root
	case held.size == 0:
		return len(proof) == 0
	default:
		return tlog.CheckTree(proof, int64(next.size), next.root, int64(held.size), held.root) == nil
	}
}
