package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// update writes the golden files anew. The SM2 signatures in testdata/note.txt
// then change, because SM2 signing is randomised; nothing else does.
var update = flag.Bool("update", false, "write testdata anew")

// fixedKey derives a key from its label, so that keys are the same in every run
// without private keys standing in a file.
func fixedKey(t testing.TB, alg gm.Alg, label string) *gm.PrivateKey {
	t.Helper()
	prefix := "302e020100300506032b657004220420" // PKCS#8, Ed25519 seed
	if alg == gm.SM2 {
		prefix = "3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420"
	}
	der, err := hex.DecodeString(prefix)
	if err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte("qifeng checkpoint test key: " + label))
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: append(der, seed[:]...)})
	k, err := gm.ParsePrivateKey(block)
	if err != nil {
		t.Fatalf("making the fixed key %s: %v", label, err)
	}
	return k
}

func fixedMember(t testing.TB, id string, role Role) (Member, SealKeys) {
	t.Helper()
	pub := func(alg gm.Alg, kind KeyKind) gm.PublicKey {
		return fixedKey(t, alg, id+" "+string(kind)).Public()
	}
	m := Member{
		ID: id, Role: role,
		SealSM2:     pub(gm.SM2, KeySealSM2),
		SealEd25519: pub(gm.Ed25519, KeySealEd25519),
		Log:         pub(gm.Ed25519, KeyLog),
		Intake:      pub(gm.SM2, KeyIntake),
		Admin:       pub(gm.SM2, KeyAdmin),
	}
	return m, SealKeys{
		Log:     fixedKey(t, gm.Ed25519, id+" "+string(KeyLog)),
		Ed25519: fixedKey(t, gm.Ed25519, id+" "+string(KeySealEd25519)),
		SM2:     fixedKey(t, gm.SM2, id+" "+string(KeySealSM2)),
	}
}

// A consortium is a policy with all the keys of its members.
type consortium struct {
	policy *Policy
	keys   map[string]SealKeys
}

var fixedGenesis = merkle.Sum([]byte("the genesis of the test chain"))

// fourMembers is the consortium of most tests: court, notary, arbitration and
// a vendor under the default rule, 3 of 4 with two neutral roles.
func fourMembers(t testing.TB) consortium {
	return newConsortium(t, DefaultQuorum(4), "arb-a arbitration", "court-a court", "notary-a notary", "vendor-a vendor")
}

// newConsortium takes members as "id role", sorted by id.
func newConsortium(t testing.TB, q Quorum, members ...string) consortium {
	t.Helper()
	c := consortium{keys: make(map[string]SealKeys)}
	e := Epoch{First: 1, Quorum: q}
	for _, s := range members {
		id, role, _ := strings.Cut(s, " ")
		m, keys := fixedMember(t, id, Role(role))
		e.Members = append(e.Members, m)
		c.keys[id] = keys
	}
	c.policy = &Policy{Chain: ChainID("demo", fixedGenesis), Genesis: fixedGenesis, Epochs: []Epoch{e}}
	if err := c.policy.Validate(); err != nil {
		t.Fatalf("the test consortium is not valid: %v", err)
	}
	return c
}

func (c consortium) epoch() *Epoch { return &c.policy.Epochs[0] }

// checkpoint is a state of the chain with made-up roots.
func (c consortium) checkpoint(size uint64) Checkpoint {
	return Checkpoint{
		Origin: Origin(c.policy.Chain),
		Size:   size,
		Root:   merkle.Sum(fmt.Appendf(nil, "root at %d", size)),
	}
}

func (c consortium) seal(t testing.TB, cp Checkpoint, member string, at int64) Seal {
	t.Helper()
	s, err := Sign(cp, member, at, c.keys[member])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// note seals by the members named, the first at time 1000, the next a second
// later, and so on.
func (c consortium) note(t testing.TB, cp Checkpoint, members ...string) []byte {
	t.Helper()
	var seals []Seal
	for i, id := range members {
		seals = append(seals, c.seal(t, cp, id, 1000+int64(i)))
	}
	n, err := Note(cp, seals, c.epoch())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustOpen(t testing.TB, note []byte, p *Policy) *Sealed {
	t.Helper()
	s, err := Open(note, p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden compares with a file of testdata, or writes it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// goldenPolicy is the policy of testdata/policy.txt: two epochs, a require
// line, pins, every role.
func goldenPolicy(t testing.TB) *Policy {
	c := fourMembers(t)
	p := c.policy
	p.Epochs[0].Pins = []Pin{
		{Size: 1, Root: merkle.Sum([]byte("root at 1"))},
		{Size: 99, Root: merkle.Sum([]byte("root at 99"))},
	}
	second := Epoch{First: 100, Quorum: Quorum{Members: 4, NeutralRoles: 2, Require: []Require{{Court, 1}, {Notary, 2}}}}
	for _, m := range p.Epochs[0].Members {
		second.Members = append(second.Members, m)
		if m.ID == "notary-a" {
			b, _ := fixedMember(t, "notary-b", Notary)
			second.Members = append(second.Members, b)
		}
	}
	p.Epochs = append(p.Epochs, second)
	return p
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
