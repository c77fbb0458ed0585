package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// put keeps the checkpoint of a note. What is cheap comes first, and who may not
// write costs no signature check.
//
// Order: the arguments' form; the submitter's right; the seal quorum; then the state:
// the same root of this size answers what is kept, so that a client that never
// heard the outcome may ask again with the same words; another root is a conflict;
// then growth, and the path from the newest.
func (c *contract) put(stub shim.ChaincodeStubInterface, note, oldText, pathText []byte) ([]byte, error) {
	origin, err := originOf(note)
	if err != nil {
		return nil, err
	}
	old, err := parseSize(oldText)
	if err != nil {
		return nil, err
	}
	path, err := parsePath(pathText)
	if err != nil {
		return nil, err
	}
	if err := c.mayWrite(stub, origin); err != nil {
		return nil, err
	}
	sealed, err := c.open(note, origin)
	if err != nil {
		return nil, err
	}
	fresh := &entry{Origin: origin, Size: sealed.Size, Root: sealed.Root, Note: merkle.Sum(note)}
	kept, err := fresh.place(stub, old, path)
	if err != nil || kept != nil {
		return kept.bytes(), err
	}
	return fresh.store(stub)
}

// place says where a checkpoint stands to what is kept: the entry of this very
// state of the ledger; nil if it may be added; or a refusal.
func (e *entry) place(stub shim.ChaincodeStubInterface, old uint64, path []merkle.Digest) (*entry, error) {
	same, err := readEntry(stub, fabric.EntryKey(e.Origin, e.Size))
	if err != nil {
		return nil, err
	}
	if same != nil {
		if same.Root != e.Root {
			return nil, refuse(conflict, "%s", same.bytes())
		}
		return same, nil
	}
	newest, err := readEntry(stub, fabric.HeadKey(e.Origin))
	if err != nil {
		return nil, err
	}
	if newest == nil {
		newest = &entry{Root: merkle.EmptyRoot()} // size 0
	}
	if e.Size <= newest.Size { // never equal: the entry of its size would be there
		return nil, refuse(shrink, "head=%d", newest.Size)
	}
	if old != newest.Size {
		return nil, refuse(stale, "head=%d", newest.Size)
	}
	err = merkle.VerifyConsistency(newest.Size, e.Size, newest.Root, e.Root, path)
	switch {
	case errors.Is(err, merkle.ErrPath):
		return nil, refuse(invalid, "the path: %v", err)
	case err != nil:
		return nil, refuse(fork, "%v: %s", err, newest.bytes())
	}
	return nil, nil
}

// store writes the entry under its size and as the newest, and announces it. Both
// keys change in one transaction, or neither does.
func (e *entry) store(stub shim.ChaincodeStubInterface) ([]byte, error) {
	b := e.bytes()
	for _, key := range []string{fabric.EntryKey(e.Origin, e.Size), fabric.HeadKey(e.Origin)} {
		if err := stub.PutState(key, b); err != nil {
			return nil, fmt.Errorf("writing the state: %w", err)
		}
	}
	if err := stub.SetEvent(fabric.EventName, b); err != nil {
		return nil, fmt.Errorf("announcing the checkpoint: %w", err)
	}
	return b, nil
}

// mayWrite checks the submitter's organisation against the writers file.
func (c *contract) mayWrite(stub shim.ChaincodeStubInterface, origin string) error {
	msp, err := cid.GetMSPID(stub)
	if err != nil {
		return refuse(denied, "the submitter's identity cannot be read")
	}
	allowed, err := c.writers.of(origin)
	if err != nil {
		return refuse(policyFault, "%v", err)
	}
	for _, m := range allowed {
		if m == msp {
			return nil
		}
	}
	return refuse(denied, "%q may not write %s", msp, origin)
}

// open checks the note's seals against this organisation's policy.
func (c *contract) open(note []byte, origin string) (*checkpoint.Sealed, error) {
	p, err := c.policies.of(strings.TrimPrefix(origin, checkpoint.Origin("")))
	if err != nil {
		return nil, refuse(policyFault, "%v", err)
	}
	sealed, err := checkpoint.Open(note, p, checkpoint.Options{Second: true})
	switch {
	case errors.Is(err, checkpoint.ErrTampered):
		return nil, refuse(tampered, "%v", err)
	case errors.Is(err, checkpoint.ErrEpoch), errors.Is(err, checkpoint.ErrPolicy):
		return nil, refuse(policyFault, "%v", err)
	case err != nil:
		return nil, refuse(invalid, "%v", err)
	case !sealed.Met:
		return nil, refuse(unsealed, "%s; is the policy file here of the newest epoch?", sealed.Missing)
	case sealed.Size == 0:
		return nil, refuse(invalid, "an empty ledger is not anchored")
	}
	return sealed, nil
}

// originOf reads which log a note is of, before anything else in it is believed.
func originOf(note []byte) (string, error) {
	if len(note) > checkpoint.MaxNote {
		return "", refuse(invalid, "a note of %d bytes", len(note))
	}
	first, _, ok := bytes.Cut(note, []byte("\n"))
	if !ok {
		return "", refuse(invalid, "the note has no line")
	}
	return parseOrigin(first)
}

func parsePath(text []byte) ([]merkle.Digest, error) {
	if len(text) > maxPathText {
		return nil, refuse(invalid, "a path of %d bytes", len(text))
	}
	d := canon.NewDecoder(text)
	path := d.Digests(merkle.MaxPath)
	if err := d.End(); err != nil {
		return nil, refuse(invalid, "the path: %v", err)
	}
	return path, nil
}
