package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"qifeng/proof/merkle"
)

// A file counts as it is now: what it said before never stands in for it.
func TestPolicyFileReplaced(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP")
	tree := ledger("a", 60)
	name := c.policy.Chain + ".txt"
	good := string(c.text(t))
	size := uint64(0)
	grow := func(by ...string) (message string) {
		t.Helper()
		db := state{}
		r, _ := s.call(t, db, "Org1MSP", c.args(t, tree, 0, size+1, by...)...)
		size++
		return r.Message
	}
	expect := func(got, want string) {
		t.Helper()
		if got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("answer %q, want %q", got, want)
		}
	}

	expect(grow(), "")
	s.write(t, name, good[:len(good)-9])
	expect(grow(), "POLICY "+name+": ")
	expect(grow(), "POLICY "+name+": ") // and it stays so
	s.write(t, name, "")
	expect(grow(), "POLICY ")
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
	expect(grow(), "POLICY this organisation has no file "+name)
	if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	expect(grow(), "POLICY "+name+" is no regular file")
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
	s.write(t, name, strings.Repeat("#", 1<<20))
	expect(grow(), "POLICY "+name+" has more than ")

	other := four(t)
	other.policy.Genesis = merkle.Sum([]byte("other"))
	other.policy.Chain = "other-00000000"
	s.write(t, name, strings.Replace(good, c.policy.Chain, "other-"+c.policy.Chain[len(c.policy.Chain)-8:], 1))
	expect(grow(), "POLICY "+name+": it is the policy of other-")
	s.write(t, name, good)
	expect(grow(), "")

	// a new epoch from size 20 on, with a new court: the new file, no restart
	c.epoch(t, 20, "arbitration-a", "court-b", "notary-a", "vendor-a")
	size = 20
	expect(grow("court-b", "notary-a", "vendor-a"), "UNSEALED ")
	s.policy(t, c)
	size = 20
	expect(grow("court-b", "notary-a", "vendor-a"), "")
	size = 10
	expect(grow("court-a", "notary-a", "vendor-a"), "") // the old epoch still judges its sizes

	// another past
	s.write(t, name, good)
	expect(grow(), "POLICY "+name+": it contradicts")
	s.policy(t, c)
	size = 30
	expect(grow("court-b", "notary-a", "vendor-a"), "")
}

func TestWritersFileReplaced(t *testing.T) {
	c := four(t)
	s := serviceOf(t, c, "Org1MSP")
	args := c.args(t, ledger("a", 3), 0, 3)
	line := c.origin() + " "
	for _, test := range []struct {
		name, text string
		want       string // of the refusal; none if the put is taken
	}{
		{"as before", writersHeader + "\n" + line + "Org1MSP\n", ""},
		{"two organisations", writersHeader + "\n\n# ours\n" + line + "Org0MSP Org1MSP\n", ""},
		{"another organisation", writersHeader + "\n" + line + "Org2MSP\n", "DENIED "},
		{"a prefix of its name", writersHeader + "\n" + line + "Org1\n", "DENIED "},
		{"nobody", writersHeader + "\n", "DENIED "},
		{"no header", line + "Org1MSP\n", "POLICY writers.txt: line 1: "},
		{"empty", "", "POLICY writers.txt: "},
		{"twice", writersHeader + "\n" + line + "Org1MSP\n" + line + "Org1MSP\n", "POLICY writers.txt: line 3: "},
		{"no organisation", writersHeader + "\n" + c.origin() + "\n", "POLICY writers.txt: line 2: "},
		{"two spaces", writersHeader + "\n" + line + " Org1MSP\n", "POLICY writers.txt: line 2: "},
		{"a carriage return", writersHeader + "\r\n" + line + "Org1MSP\r\n", "POLICY writers.txt: line 1: "},
		{"no origin", writersHeader + "\nledger Org1MSP\n", "POLICY writers.txt: line 2: "},
		{"too long", writersHeader + "\n" + strings.Repeat("#\n", maxWriters), "POLICY writers.txt has more than "},
		{"mended", writersHeader + "\n" + line + "Org1MSP\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.write(t, "writers.txt", test.text)
			r, _ := s.call(t, state{}, "Org1MSP", args...)
			if (r.Status == shim.OK) != (test.want == "") || !strings.HasPrefix(r.Message, test.want) {
				t.Errorf("answer %q, want %q", r.Message, test.want)
			}
		})
	}
}
