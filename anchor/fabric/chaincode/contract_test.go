package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

func TestGrowth(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP", "Org2MSP")
	tree := ledger("a", 70)
	db := state{}

	r, _ := s.call(t, db, "Org1MSP", strs("head", c.origin())...)
	refused(t, r, notFound)

	var last uint64
	for _, size := range []uint64{1, 2, 3, 4, 7, 8, 64, 65, 70} {
		args := c.args(t, tree, last, size)
		r, st := s.call(t, db, "Org1MSP", args...)
		if r.Status != shim.OK {
			t.Fatalf("put %d after %d: %s", size, last, r.Message)
		}
		root, _ := merkle.RootAt(size, tree)
		want := fabric.Statement{Origin: c.origin(), Size: size, Root: root, Note: merkle.Sum(args[1])}.Marshal()
		if !bytes.Equal(r.Payload, want) || !bytes.Equal(st.event, want) {
			t.Errorf("put %d answers %s and announces %s, want %s", size, r.Payload, st.event, want)
		}
		entryKey := fmt.Sprintf("cp/%s/%016x", c.origin(), size)
		if got := keys(st.writes); len(got) != 2 || got[0] != entryKey || got[1] != "head/"+c.origin() {
			t.Errorf("put %d writes %q", size, got)
		}
		for _, ask := range [][][]byte{strs("get", c.origin(), fmt.Sprint(size)), strs("head", c.origin())} {
			if r, st := s.call(t, db, "Org2MSP", ask...); !bytes.Equal(r.Payload, want) || len(st.writes) > 0 {
				t.Errorf("%s after put %d: %s %s", ask[0], size, r.Message, r.Payload)
			}
		}
		last = size
	}
	r, _ = s.call(t, db, "Org1MSP", strs("get", c.origin(), "5")...)
	refused(t, r, notFound)
}

// Whoever never heard the outcome asks again, with the same words or with later seals.
func TestUnchanged(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP")
	tree := ledger("a", 9)
	db := state{}
	first := c.args(t, tree, 0, 5)
	r, _ := s.call(t, db, "Org1MSP", first...)
	kept := r.Payload
	more := c.args(t, tree, 0, 5, "arbitration-a", "court-a", "notary-a", "vendor-a")
	if r, _ := s.call(t, db, "Org1MSP", c.args(t, tree, 5, 9)...); r.Status != shim.OK {
		t.Fatal(r.Message)
	}
	for name, args := range map[string][][]byte{"same words": first, "other seals": more, "from elsewhere": {first[0], first[1], []byte("3"), []byte("[]")}} {
		r, st := s.call(t, db, "Org1MSP", args...)
		if r.Status != shim.OK || !bytes.Equal(r.Payload, kept) {
			t.Errorf("%s: %d %s %s, want the first entry", name, r.Status, r.Message, r.Payload)
		}
		if len(st.writes) != 0 || st.event != nil {
			t.Errorf("%s: writes %q, event %s", name, keys(st.writes), st.event)
		}
	}
}

func TestRefusals(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP")
	tree, other := ledger("a", 40), ledger("b", 40)
	db := state{}
	for _, step := range [][2]uint64{{0, 8}, {8, 20}} {
		if r, _ := s.call(t, db, "Org1MSP", c.args(t, tree, step[0], step[1])...); r.Status != shim.OK {
			t.Fatal(r.Message)
		}
	}
	before := maps.Clone(db)

	root := func(tree *merkle.Tree, n uint64) merkle.Digest { d, _ := merkle.RootAt(n, tree); return d }
	half := func(sm3, sha256 merkle.Digest) merkle.Digest {
		return merkle.Digest{SM3: sm3.SM3, SHA256: sha256.SHA256}
	}
	put := func(note []byte, old, path string) [][]byte {
		return [][]byte{[]byte("put"), note, []byte(old), []byte(path)}
	}
	good := c.args(t, tree, 20, 30)
	goodPath := string(good[3])
	alien := four(t) // the same chain, other keys
	alien.policy.Chain, alien.policy.Genesis = c.policy.Chain, c.policy.Genesis
	elsewhere := four(t)
	elsewhere.policy.Genesis = merkle.Sum([]byte("elsewhere"))
	elsewhere.policy.Chain = checkpoint.ChainID("test", elsewhere.policy.Genesis)
	falseSeal := bytes.Clone(good[1])
	if at := len(falseSeal) - 20; falseSeal[at] == 'A' {
		falseSeal[at] = 'B'
	} else {
		falseSeal[at] = 'A'
	}

	for _, test := range []struct {
		name string
		msp  string
		args [][]byte
		want word
	}{
		{"another root of a kept size", "", c.args(t, other, 0, 8), conflict},
		{"another root of the newest size", "", c.args(t, other, 8, 20), conflict},
		{"another SM3 half", "", put(c.note(t, 20, half(root(other, 20), root(tree, 20)), quorum...), "20", "[]"), conflict},
		{"another SHA-256 half", "", put(c.note(t, 20, half(root(tree, 20), root(other, 20)), quorum...), "20", "[]"), conflict},
		{"smaller than the newest", "", c.args(t, tree, 8, 19), shrink},
		{"from an older size", "", c.args(t, tree, 8, 30), stale},
		{"from nothing", "", c.args(t, tree, 0, 30), stale},
		{"from a size beyond", "", c.args(t, tree, 25, 30), stale},
		{"another ledger", "", c.args(t, other, 20, 30), fork},
		{"another SM3 half grown", "", put(c.note(t, 30, half(root(other, 30), root(tree, 30)), quorum...), "20", goodPath), fork},
		{"another SHA-256 half grown", "", put(c.note(t, 30, half(root(tree, 30), root(other, 30)), quorum...), "20", goodPath), fork},
		{"the path of another ledger", "", put(good[1], "20", string(path(t, other, 20, 30))), fork},
		{"a path too short", "", put(good[1], "20", "[]"), invalid},
		{"a path too long", "", put(good[1], "20", string(path(t, tree, 21, 31))+"x"), invalid},
		{"a path that is no JSON", "", put(good[1], "20", "["), invalid},
		{"a path with a space", "", put(good[1], "20", " "+goodPath), invalid},
		{"a path of bytes without end", "", put(good[1], "20", strings.Repeat("[", maxPathText+1)), invalid},
		{"two seals", "", c.args(t, tree, 20, 30, "court-a", "notary-a"), unsealed},
		{"no seal that anybody knows", "", alien.args(t, tree, 20, 30), unsealed},
		{"a false seal", "", put(falseSeal, "20", goodPath), tampered},
		{"a foreign organisation", "Org2MSP", good, denied},
		{"no organisation", "none", good, denied},
		{"a log that nobody may write", "", elsewhere.args(t, tree, 20, 30), denied},
		{"no note", "", put(nil, "20", goodPath), invalid},
		{"a note without seals' end", "", put(good[1][:len(good[1])-1], "20", goodPath), invalid},
		{"a note of a megabyte", "", put(bytes.Repeat(good[1], 1000), "20", goodPath), invalid},
		{"an old size with a zero before it", "", put(good[1], "020", goodPath), invalid},
		{"a negative old size", "", put(good[1], "-1", goodPath), invalid},
		{"an old size beyond all", "", put(good[1], "9007199254740992", goodPath), invalid},
		{"an old size of many digits", "", put(good[1], "00000000000000000020", goodPath), invalid},
		{"too few arguments", "", good[:3], invalid},
		{"too many arguments", "", append(good[:4:4], nil), invalid},
		{"no arguments", "", nil, invalid},
		{"an unknown function", "", strs("delete", c.origin()), invalid},
		{"another case", "", append(strs("Put"), good[1:]...), invalid},
		{"get without a size", "", strs("get", c.origin()), invalid},
		{"get of no origin", "", strs("get", "qifeng/../x", "20"), invalid},
		{"get of a size in hex", "", strs("get", c.origin(), "0x14"), invalid},
		{"head of a long origin", "", strs("head", c.origin()+strings.Repeat("a", 100)), invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			msp := test.msp
			if msp == "" {
				msp = "Org1MSP"
			}
			r, st := s.call(t, db, msp, test.args...)
			refused(t, r, test.want)
			if len(st.writes) != 0 {
				t.Errorf("it wrote %q", keys(st.writes))
			}
		})
	}
	if !maps.EqualFunc(db, before, bytes.Equal) {
		t.Error("a refusal changed the state")
	}
	if r, _ := s.call(t, db, "Org1MSP", good...); r.Status != shim.OK {
		t.Errorf("and the good one: %s", r.Message)
	}
	r, _ := s.call(t, db, "Org1MSP", c.args(t, other, 8, 20)...)
	theirs, err := fabric.ParseStatement([]byte(strings.TrimPrefix(r.Message, "CONFLICT ")))
	if err != nil || theirs.Size != 20 || theirs.Root != root(tree, 20) {
		t.Errorf("a conflict names what is kept: %q, %v", r.Message, err)
	}
	if r, _ = s.call(t, db, "Org1MSP", c.args(t, tree, 8, 35)...); r.Message != "STALE head=30" {
		t.Errorf("a stale put: %q", r.Message)
	}
}

// Every organisation writes the same, whatever else its policy file tells.
func TestDeterminism(t *testing.T) {
	c := four(t)
	one := serviceOf(t, c, "Org1MSP")
	tree := ledger("a", 60)
	args := c.args(t, tree, 0, 50)
	root, _ := merkle.RootAt(50, tree)
	c.policy.Epochs[0].Pins = []checkpoint.Pin{{Size: 50, Root: root}}
	c.epoch(t, 55, "arbitration-a", "court-a", "court-b", "notary-a", "vendor-a")
	two := serviceOf(t, c, "Org9MSP", "Org1MSP")

	a, sa := one.call(t, state{}, "Org1MSP", args...)
	b, sb := two.call(t, state{}, "Org1MSP", args...)
	if a.Status != shim.OK || !bytes.Equal(a.Payload, b.Payload) || !bytes.Equal(sa.event, sb.event) || !maps.EqualFunc(sa.writes, sb.writes, bytes.Equal) {
		t.Errorf("%d %s %q\n%d %s %q", a.Status, a.Payload, keys(sa.writes), b.Status, b.Payload, keys(sb.writes))
	}
}

func TestPinned(t *testing.T) {
	c := four(t)
	tree, other := ledger("a", 9), ledger("b", 9)
	root, _ := merkle.RootAt(9, tree)
	c.policy.Epochs[0].Pins = []checkpoint.Pin{{Size: 9, Root: root}}
	s := serviceOf(t, c, "Org1MSP")
	r, _ := s.call(t, state{}, "Org1MSP", c.args(t, other, 0, 9)...)
	refused(t, r, tampered)
}

func TestStateFails(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP")
	args := c.args(t, ledger("a", 9), 0, 9)
	for name, st := range map[string]*stub{
		"unreadable": {state: state{}, fail: errors.New("disk")},
		"no entry":   {state: state{fabric.EntryKey(c.origin(), 9): []byte("{}")}},
		"no head":    {state: state{fabric.HeadKey(c.origin()): []byte("x")}},
		"panics":     {}, // nil map of writes
	} {
		st.args, st.creator = args, creator(t, "Org1MSP")
		if st.writes = nil; name != "panics" {
			st.writes = state{}
		}
		if r := s.Invoke(st); name != "" {
			refused(t, r, internal)
		}
	}
	bad := &stub{args: args, creator: []byte{0xff}, state: state{}, writes: state{}}
	refused(t, s.Invoke(bad), denied)
}

// Whatever is put: no panic, nothing kept that the quorum did not seal.
func FuzzPut(f *testing.F) {
	c := four(f)
	s := serviceOf(f, c, "Org1MSP")
	tree := ledger("a", 20)
	db := state{}
	if r, _ := s.call(f, db, "Org1MSP", c.args(f, tree, 0, 8)...); r.Status != shim.OK {
		f.Fatal(r.Message)
	}
	who := creator(f, "Org1MSP")
	for _, seed := range [][][]byte{c.args(f, tree, 8, 20), c.args(f, tree, 0, 8), c.args(f, ledger("b", 20), 8, 20), c.args(f, tree, 8, 9, "court-a")} {
		f.Add(seed[1], seed[2], seed[3], who)
	}
	f.Add([]byte("qifeng/test-00000000\n"), []byte("0"), []byte("[]"), []byte{})
	f.Fuzz(func(t *testing.T, note, old, path, creator []byte) {
		st := &stub{args: [][]byte{[]byte("put"), note, old, path}, creator: creator, state: db, writes: state{}}
		r := s.Invoke(st)
		if strings.HasPrefix(r.Message, string(internal)) {
			t.Fatalf("%s", r.Message)
		}
		if (r.Status == shim.OK) == (r.Message != "") {
			t.Fatalf("status %d, message %q", r.Status, r.Message)
		}
		if len(st.writes) > 0 {
			sealed, err := checkpoint.Open(note, c.policy, checkpoint.Options{})
			if err != nil || !sealed.Met || sealed.Size <= 8 {
				t.Fatalf("kept what is not sealed: %v", err)
			}
		}
	})
}

func FuzzWriters(f *testing.F) {
	f.Add([]byte("qifeng-writers/v1\n# comment\nqifeng/test-0a1b2c3d Org1MSP Org2MSP\n"))
	f.Add([]byte("qifeng-writers/v1\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseWriters(text)
		if (m == nil) == (err == nil) {
			t.Fatal("neither or both")
		}
		if err != nil {
			return
		}
		for origin, msps := range *m {
			if _, err := parseOrigin([]byte(origin)); err != nil || len(msps) == 0 {
				t.Fatalf("%q %q", origin, msps)
			}
		}
	})
}
