package vectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// must ends the generator on an error: its inputs are all its own.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// PKCS#8 up to the 32 secret bytes.
var pkcs8 = map[gm.Alg]string{
	gm.SM2:     "3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420",
	gm.Ed25519: "302e020100300506032b657004220420",
}

// keyOf derives a key from a label that anybody can read.
func keyOf(alg gm.Alg, label string) gm.Signer {
	name := alg.String() + " " + label
	if k, ok := keys[name]; ok {
		return k
	}
	secret := sha256.Sum256([]byte("qifeng test vectors, not a secret: " + label))
	der := append(must(hex.DecodeString(pkcs8[alg])), secret[:]...)
	k := &steady{must(gm.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), map[string][]byte{}}
	keys[name] = k
	return k
}

var keys = map[string]gm.Signer{}

// steady gives one message one signature, so that the vectors share what is
// equal in them: SM2 alone would make another each time.
type steady struct {
	gm.Signer
	made map[string][]byte
}

func (k *steady) Sign(msg []byte) ([]byte, error) {
	if k.made[string(msg)] == nil {
		k.made[string(msg)] = must(k.Signer.Sign(msg))
	}
	return bytes.Clone(k.made[string(msg)]), nil
}

// actor is a member with its private keys.
type actor struct {
	id                                     string
	role                                   checkpoint.Role
	admin, consensus, intake, log, ed, sm2 gm.Signer
}

func newActor(id string, role checkpoint.Role) *actor {
	return &actor{
		id: id, role: role,
		admin: keyOf(gm.SM2, id+" admin"), consensus: keyOf(gm.Ed25519, id+" consensus"), intake: keyOf(gm.SM2, id+" intake"),
		log: keyOf(gm.Ed25519, id+" log"), ed: keyOf(gm.Ed25519, id+" seal-ed25519"), sm2: keyOf(gm.SM2, id+" seal-sm2"),
	}
}

func (a *actor) card() *evidence.Card {
	node := sha256.Sum256([]byte(a.id))
	c := &evidence.Card{
		Admin: a.admin.Public(), Consensus: a.consensus.Public(), ID: a.id, Intake: a.intake.Public(), Log: a.log.Public(),
		Name: "测试成员 " + a.id, NodeID: hex.EncodeToString(node[:20]), Peer: a.id + ".example:26656", Role: a.role,
		SealEd25519: a.ed.Public(), SealSM2: a.sm2.Public(),
	}
	return must(evidence.ParseCard(must(c.Sign(a.admin))))
}

// world is the consortium of the vectors.
type world struct {
	actors  []*actor // sorted by id
	genesis []byte
	chain   string
	policy  *checkpoint.Policy
}

// worlds are the consortia made so far: the signatures on the cards are random,
// so a genesis made twice is two chains.
var worlds = map[string]*world{}

func newWorld(name string) *world {
	if w, ok := worlds[name]; ok {
		return w
	}
	w := &world{actors: []*actor{
		newActor("arbitration-a", checkpoint.Arbitration), newActor("court-a", checkpoint.Court),
		newActor("notary-a", checkpoint.Notary), newActor("vendor-a", checkpoint.Vendor),
	}}
	g := &evidence.Genesis{Name: name, CreatedAt: clock(-24 * time.Hour), Quorum: checkpoint.DefaultQuorum(len(w.actors))}
	for _, a := range w.actors {
		g.Cards = append(g.Cards, a.card())
	}
	w.genesis = must(g.Marshal())
	g = must(evidence.ParseGenesis(w.genesis))
	w.chain, w.policy = g.ChainID(), must(proof.GenesisPolicy(g))
	worlds[name] = w
	return w
}

func (w *world) actor(id string) *actor {
	for _, a := range w.actors {
		if a.id == id {
			return a
		}
	}
	panic("no actor " + id)
}

// clock is a time relative to the moment at which the records are received.
func clock(d time.Duration) time.Time {
	return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC).Add(d)
}

// seal makes the seals of the members named, dated 1, 2, 3 … seconds after the
// records were received.
func (w *world) seals(c checkpoint.Checkpoint, ids []string) (out []checkpoint.Seal) {
	for _, id := range ids {
		out = append(out, w.sealAt(c, id, clock(time.Duration(len(out)+1)*time.Second).Unix()))
	}
	return out
}

func (w *world) sealAt(c checkpoint.Checkpoint, id string, t int64) checkpoint.Seal {
	a := w.actor(id)
	return must(checkpoint.Sign(c, id, t, checkpoint.SealKeys{Log: a.log, Ed25519: a.ed, SM2: a.sm2}))
}

// filler is a ledger entry that no proof speaks of.
func (w *world) filler(n int) []byte {
	a := w.actors[n%len(w.actors)]
	k := &evidence.KeyEntry{Action: evidence.Register, Key: fmt.Sprintf("filler-%d", n), Member: a.id,
		PublicKey: keyOf(gm.SM2, fmt.Sprintf("filler %d", n)).Public(), Purpose: evidence.Read, SignedAt: clock(-time.Hour)}
	return must(k.Sign(w.chain, a.admin))
}

// resign replaces the signature of a signed object by one over another message:
// of another type, or for another chain.
func resign(raw []byte, t evidence.Type, chain string, k gm.Signer) []byte {
	s := must(evidence.ParseSigned(raw, evidence.PeekType(raw), evidence.MaxTxBytes))
	sig := must(k.Sign(evidence.SignedBytes(t, chain, s.Body)))
	return bytes.Replace(raw, []byte(hex.EncodeToString(s.Sig[:])), []byte(hex.EncodeToString(sig)), 1)
}

// flipSig changes one bit of the signature of a signed object.
func flipSig(raw []byte) []byte {
	s := must(evidence.ParseSigned(raw, evidence.PeekType(raw), evidence.MaxTxBytes))
	sig := s.Sig
	sig[63] ^= 1
	return bytes.Replace(raw, []byte(hex.EncodeToString(s.Sig[:])), []byte(hex.EncodeToString(sig[:])), 1)
}

// TestFixedKeys compares the keys of the committed policy with those derived
// here: the vectors and the generator speak of one consortium.
func TestFixedKeys(t *testing.T) {
	p := must(checkpoint.ParsePolicy(read(t, "files/policies/trust.policy")))
	for _, want := range newWorld("vectors").policy.Epochs[0].Members {
		if got, _ := p.Epochs[0].Member(want.ID); got != want {
			t.Errorf("the keys of %s are other ones: run with -update", want.ID)
		}
	}
}
