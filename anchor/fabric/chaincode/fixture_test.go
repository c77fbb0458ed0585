package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// A consortium is a policy with all the keys of its members.
type consortium struct {
	policy *checkpoint.Policy
	keys   map[string]checkpoint.SealKeys
}

func member(t testing.TB, id string) (checkpoint.Member, checkpoint.SealKeys) {
	t.Helper()
	key := func(alg gm.Alg) *gm.PrivateKey {
		k, err := gm.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys := checkpoint.SealKeys{Log: key(gm.Ed25519), Ed25519: key(gm.Ed25519), SM2: key(gm.SM2)}
	role, _, _ := strings.Cut(id, "-")
	return checkpoint.Member{ID: id, Role: checkpoint.Role(role), SealSM2: keys.SM2.Public(), SealEd25519: keys.Ed25519.Public(),
		Log: keys.Log.Public(), Intake: key(gm.SM2).Public(), Admin: key(gm.SM2).Public()}, keys
}

// four is a court, a notary, an arbitration commission and a vendor; three of them
// with two neutral roles seal.
func four(t testing.TB) *consortium {
	t.Helper()
	genesis := merkle.Sum([]byte(t.Name()))
	c := &consortium{
		policy: &checkpoint.Policy{Chain: checkpoint.ChainID("test", genesis), Genesis: genesis},
		keys:   map[string]checkpoint.SealKeys{},
	}
	c.epoch(t, 1, "arbitration-a", "court-a", "notary-a", "vendor-a")
	return c
}

// epoch adds an epoch, sorted by id, in which known members keep their keys.
func (c *consortium) epoch(t testing.TB, first uint64, ids ...string) {
	t.Helper()
	e := checkpoint.Epoch{First: first, Quorum: checkpoint.DefaultQuorum(len(ids))}
	for _, id := range ids {
		var m checkpoint.Member
		if n := len(c.policy.Epochs); n > 0 {
			m, _ = c.policy.Epochs[n-1].Member(id)
		}
		if m.ID == "" {
			m, c.keys[id] = member(t, id)
		}
		e.Members = append(e.Members, m)
	}
	c.policy.Epochs = append(c.policy.Epochs, e)
	if err := c.policy.Validate(); err != nil {
		t.Fatal(err)
	}
}

func (c *consortium) text(t testing.TB) []byte {
	t.Helper()
	b, err := c.policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *consortium) origin() string { return checkpoint.Origin(c.policy.Chain) }

// note is a checkpoint with the seals of the members named.
func (c *consortium) note(t testing.TB, size uint64, root merkle.Digest, by ...string) []byte {
	t.Helper()
	cp := checkpoint.Checkpoint{Origin: c.origin(), Size: size, Root: root}
	e, err := c.policy.EpochOf(size)
	if err != nil {
		t.Fatal(err)
	}
	var seals []checkpoint.Seal
	for i, id := range by {
		s, err := checkpoint.Sign(cp, id, 1_700_000_000+int64(i), c.keys[id])
		if err != nil {
			t.Fatal(err)
		}
		seals = append(seals, s)
	}
	n, err := checkpoint.Note(cp, seals, e)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// quorum seals where the test does not say otherwise.
var quorum = []string{"court-a", "notary-a", "vendor-a"}

// ledger is a tree that grew to n leaves named after it; two of different names
// contradict each other.
func ledger(name string, n int) *merkle.Tree {
	var leaves []merkle.Digest
	for i := range n {
		leaves = append(leaves, merkle.LeafHash(fmt.Appendf(nil, "%s %d", name, i)))
	}
	return merkle.NewTree(leaves)
}

// args are put's for growing a tree from one size to another.
func (c *consortium) args(t testing.TB, tree *merkle.Tree, from, to uint64, by ...string) [][]byte {
	t.Helper()
	if len(by) == 0 {
		by = quorum
	}
	root, err := merkle.RootAt(to, tree)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{[]byte("put"), c.note(t, to, root, by...), fmt.Append(nil, from), path(t, tree, from, to)}
}

func path(t testing.TB, tree *merkle.Tree, from, to uint64) []byte {
	t.Helper()
	var p []merkle.Digest
	if from > 0 && from < to {
		var err error
		if p, err = merkle.ConsistencyAt(from, to, tree); err != nil {
			t.Fatal(err)
		}
	}
	return canon.NewWriter(nil).Digests(p).Bytes()
}

// A service is one organisation's chaincode, with its files.
type service struct {
	*contract
	dir string
}

func serviceOf(t testing.TB, c *consortium, msps ...string) *service {
	t.Helper()
	s := &service{dir: t.TempDir()}
	s.policy(t, c)
	s.write(t, "writers.txt", writersHeader+"\n"+c.origin()+" "+strings.Join(msps, " ")+"\n")
	s.contract = &contract{policies: newPolicies(s.dir), writers: newWriters(filepath.Join(s.dir, "writers.txt")), log: slog.New(slog.DiscardHandler)}
	return s
}

func (s *service) policy(t testing.TB, c *consortium) {
	t.Helper()
	s.write(t, c.policy.Chain+".txt", string(c.text(t)))
}

func (s *service) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// state is a peer's state database; a call's writes are applied if it succeeds.
type state map[string][]byte

// stub is one call. What the chaincode has no business with panics: nil interface.
type stub struct {
	shim.ChaincodeStubInterface
	args    [][]byte
	creator []byte
	state   state
	writes  state
	event   []byte
	fail    error // of every access to the state
}

func (s *stub) GetArgs() [][]byte           { return s.args }
func (s *stub) GetTxID() string             { return "tx" }
func (s *stub) GetCreator() ([]byte, error) { return s.creator, nil }
func (s *stub) GetState(key string) ([]byte, error) {
	return s.state[key], s.fail // as Fabric: a call does not read its own writes
}
func (s *stub) PutState(key string, value []byte) error {
	s.writes[key] = value
	return s.fail
}
func (s *stub) SetEvent(name string, payload []byte) error {
	if name != fabric.EventName || s.event != nil {
		panic("one event, named checkpoint")
	}
	s.event = payload
	return nil
}

func creator(t testing.TB, mspID string) []byte {
	t.Helper()
	b, err := proto.Marshal(&msp.SerializedIdentity{Mspid: mspID, IdBytes: selfSigned(t).pem})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call runs one call of an organisation's client and applies what it wrote.
func (s *service) call(t testing.TB, db state, mspID string, args ...[]byte) (*peer.Response, *stub) {
	t.Helper()
	st := &stub{args: args, creator: creator(t, mspID), state: db, writes: state{}}
	r := s.Invoke(st)
	if r.Status == shim.OK {
		maps.Copy(db, st.writes)
	} else if st.event != nil || len(r.Payload) > 0 {
		t.Errorf("a refusal has an event or an answer: %s", r.Message)
	}
	return r, st
}

func strs(args ...string) (out [][]byte) {
	for _, a := range args {
		out = append(out, []byte(a))
	}
	return out
}

// refused expects a refusal of that word.
func refused(t testing.TB, r *peer.Response, w word) {
	t.Helper()
	if r.Status != statuses[w] || !strings.HasPrefix(r.Message, string(w)+" ") {
		t.Errorf("answer %d %q, want %s", r.Status, r.Message, w)
	}
}

func keys(m state) []string { return slices.Sorted(maps.Keys(m)) }
