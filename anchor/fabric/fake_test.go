package fabric

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"qifeng/anchor"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
	"qifeng/proof/merkle"
)

// fake is a network in memory with real signatures: one block for each submitted
// transaction. A hook may answer in its place.
type fake struct {
	*fabrictest.Channel
	t      *testing.T
	state  map[string]place // by key
	blocks map[uint64]*common.Block
	calls  map[string]*fabrictest.Call // endorsed puts, by transaction id

	evaluate func(chaincode string, args []string) ([]byte, error) // nil, nil: go on
	endorse  func(k *fabrictest.Call) (Endorsed, error)            // before it is endorsed; zero: go on
	submit   func(commit func() Commit) (Commit, error)
}

type place struct {
	fabric.Statement
	block, tx uint64
}

func newFake(t *testing.T) (*fake, *driver) {
	f := &fake{Channel: fabrictest.New(t, false), t: t, state: map[string]place{}, blocks: map[uint64]*common.Block{}, calls: map[string]*fabrictest.Call{}}
	return f, mustNew(t, f, f.Pinned()).(*driver)
}

func (f *fake) Close() error { return nil }

func (f *fake) Evaluate(_ context.Context, chaincode string, args ...[]byte) ([]byte, error) {
	if f.evaluate != nil {
		list := make([]string, len(args))
		for i, a := range args {
			list[i] = string(a)
		}
		if b, err := f.evaluate(chaincode, list); b != nil || err != nil {
			return b, err
		}
	}
	if chaincode == "qscc" {
		n, err := strconv.ParseUint(string(args[2]), 10, 64)
		if err != nil || f.blocks[n] == nil || string(args[1]) != f.ID {
			return nil, fmt.Errorf("no block %s", args[2])
		}
		return proto.Marshal(f.blocks[n])
	}
	k, err := f.call(args)
	if err != nil {
		return nil, err
	}
	return k.Action.Response.Payload, nil
}

// call simulates the chaincode.
func (f *fake) call(args [][]byte) (*fabrictest.Call, error) {
	refuse := func(format string, a ...any) error { return &Rejection{Messages: []string{fmt.Sprintf(format, a...)}} }
	origin, _, _ := strings.Cut(string(args[1]), "\n")
	switch string(args[0]) {
	case "get":
		size, _ := strconv.ParseUint(string(args[2]), 10, 64)
		p, ok := f.state[fabric.EntryKey(origin, size)]
		if !ok {
			return nil, refuse("NOTFOUND nothing")
		}
		return f.Get(f.t, p.Statement, p.block, p.tx), nil
	case "head":
		p, ok := f.state[fabric.HeadKey(origin)]
		if !ok {
			return nil, refuse("NOTFOUND nothing")
		}
		k := f.Get(f.t, p.Statement, p.block, p.tx)
		k.Spec.Input.Args = args
		return k, nil
	}
	body, _, _ := bytes.Cut(args[1], []byte("\n\n"))
	cp, err := checkpoint.ParseBody(append(body, '\n'))
	if err != nil {
		return nil, refuse("INVALID %v", err)
	}
	s := fabric.Statement{Origin: origin, Size: cp.Size, Root: cp.Root, Note: merkle.Sum(args[1])}
	k := f.Put(f.t, args[1], s)
	k.Spec.Input.Args = args
	if p, ok := f.state[fabric.EntryKey(origin, s.Size)]; ok {
		if p.Root != s.Root {
			return nil, refuse("CONFLICT %s", p.Marshal())
		}
		k.Results.Writes, k.Event = nil, nil
	} else if head := f.state[fabric.HeadKey(origin)]; strconv.FormatUint(head.Size, 10) != string(args[2]) {
		return nil, refuse("STALE head=%d", head.Size)
	}
	return k, nil
}

func (f *fake) Endorse(_ context.Context, args ...[]byte) (Endorsed, error) {
	k, err := f.call(args)
	if err != nil {
		return Endorsed{}, err
	}
	if f.endorse != nil {
		if e, err := f.endorse(k); e.Payload != nil || err != nil {
			return e, err
		}
	}
	payload := k.Endorse().Payload()
	f.calls[k.Header.TxId] = k
	return Endorsed{TxID: k.Header.TxId, Payload: payload}, nil
}

func (f *fake) Submit(_ context.Context, e Endorsed) (Commit, error) {
	commit := func() Commit { return f.commit(e.Payload, f.calls[e.TxID]) }
	if f.submit != nil {
		return f.submit(commit)
	}
	return commit(), nil
}

// commit puts a transaction into a block of its own.
func (f *fake) commit(payload []byte, k *fabrictest.Call) Commit {
	n := uint64(len(f.blocks) + 5)
	f.blocks[n] = f.Block(n, sha256.Sum256(nil), f.Envelope(payload))
	for _, w := range k.Results.Writes {
		s, err := fabric.ParseStatement(w.Value)
		if err != nil {
			f.t.Fatal(err)
		}
		f.state[w.Key] = place{s, n, 0}
	}
	return Commit{Block: n}
}

// theirs has somebody else put a checkpoint.
func (f *fake) theirs(cp anchor.Checkpoint) {
	s, err := statement(cp)
	if err != nil {
		f.t.Fatal(err)
	}
	k := f.Put(f.t, cp.Note, s).Endorse()
	f.commit(k.Payload(), k)
}

var errDown = errors.New("down")
