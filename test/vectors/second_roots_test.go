package vectors

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
)

// TestSecondVerifierRoots compares the two verifiers on anchor roots of which one
// rule of docs/spec/anchors.md section 3 is broken, and on some that only look so.
func TestSecondVerifierRoots(t *testing.T) {
	t.Parallel()
	run, dir := python(t), t.TempDir()
	type object = map[string]any
	channel := func(r object, name string) object {
		for _, c := range r["fabric"].([]any) {
			if c.(object)["name"] == name {
				return c.(object)
			}
		}
		panic("no channel " + name)
	}
	orderers := func(r object) object { return channel(r, "fab-bft")["orderers"].(object) }
	first := func(list any) object { return list.([]any)[0].(object) }
	second := func(list any) object { return list.([]any)[1].(object) }
	var all []anchorCase
	readJSON(t, "anchors.json", &all)
	good := all[0].input(t)
	var cases []anchorCase
	var inputs []anchorInput
	var exits []int
	for i, c := range []struct {
		name string
		edit func(object)
		exit int
	}{
		{"as they are", func(object) {}, 0},
		{"no Fabric", func(r object) { r["fabric"] = []any{} }, 0},
		{"more signatures than the quorum", func(r object) { orderers(r)["signatures"] = 4 }, 0},
		{"more signatures than orderers", func(r object) { orderers(r)["signatures"] = 5 }, 2},
		{"fewer signatures than the quorum", func(r object) { orderers(r)["signatures"] = 2 }, 2},
		{"two signatures under raft", func(r object) { channel(r, "fab-raft")["orderers"].(object)["signatures"] = 2 }, 2},
		{"more endorsements than organisations", func(r object) { channel(r, "fab-bft")["endorsements"] = 64 }, 2},
		{"no endorsements", func(r object) { channel(r, "fab-bft")["endorsements"] = 0 }, 2},
		{"a consenter under two ids", func(r object) {
			second(orderers(r)["consenters"])["certificate"] = first(orderers(r)["consenters"])["certificate"]
		}, 2},
		{"two consenters under one id", func(r object) {
			second(orderers(r)["consenters"])["id"] = first(orderers(r)["consenters"])["id"]
		}, 2},
		{"an id of 33 bits", func(r object) { first(orderers(r)["consenters"])["id"] = 1 << 32 }, 2},
		{"a consenter of nobody", func(r object) { first(orderers(r)["consenters"])["msp"] = "NobodyMSP" }, 2},
		{"a CA for a consenter", func(r object) {
			first(orderers(r)["consenters"])["certificate"] = first(orderers(r)["organisations"])["roots"].([]any)[0]
		}, 2},
		{"one CA for two organisations", func(r object) {
			list := channel(r, "fab-bft")["organisations"]
			second(list)["roots"] = first(list)["roots"]
		}, 2},
		{"an organisation twice", func(r object) {
			list := channel(r, "fab-bft")["organisations"]
			second(list)["msp"] = first(list)["msp"]
		}, 2},
		{"an organisation without a name", func(r object) { first(channel(r, "fab-bft")["organisations"])["msp"] = "" }, 2},
		{"a member for a CA", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["roots"] = []any{first(orderers(r)["consenters"])["certificate"]}
		}, 2},
		{"a chaincode with a space", func(r object) { channel(r, "fab-bft")["chaincode"] = "an anchor" }, 2},
		{"a channel in capitals", func(r object) { channel(r, "fab-bft")["channel"] = "Anchors" }, 0},
		{"revoked serial numbers", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{"07", "ff", "0100"}
		}, 0},
		{"revoked serial numbers that fall", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{"0100", "ff"}
		}, 2},
		{"a serial number twice", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{"07", "07"}
		}, 2},
		{"a serial number with a zero in front", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{"0007"}
		}, 2},
		{"a serial number in capitals", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{"FF"}
		}, 2},
		{"an empty list of the revoked", func(r object) {
			first(channel(r, "fab-bft")["organisations"])["revoked"] = []any{}
		}, 2},
		{"a revoked consenter", func(r object) {
			der := must(base64.StdEncoding.DecodeString(first(orderers(r)["consenters"])["certificate"].(string)))
			serial := must(x509.ParseCertificate(der)).SerialNumber.Bytes()
			first(orderers(r)["organisations"])["revoked"] = []any{hex.EncodeToString(serial)}
		}, 2},
		{"an authority's root twice", func(r object) {
			a := first(r["rfc3161"])
			a["roots"] = append(a["roots"].([]any), a["roots"].([]any)[0])
		}, 2},
		{"an authority without roots", func(r object) { first(r["rfc3161"])["roots"] = []any{} }, 2},
		{"a member of Fabric for an authority", func(r object) {
			first(r["rfc3161"])["roots"] = []any{first(orderers(r)["consenters"])["certificate"]}
		}, 2},
		{"names that fall", func(r object) { first(r["witness"])["name"], second(r["witness"])["name"] = "wit-b", "wit-a" }, 2},
		{"one key for two witnesses", func(r object) { second(r["witness"])["key"] = first(r["witness"])["key"] }, 0},
		{"a witness's key of a log", func(r object) {
			first(r["witness"])["key"] = "witness.example/wit-a+6b44a2a1+ARC2tVHXsDQC2i3QFpm67uD0hMzQqrVoPBqys+nNcfQt"
		}, 2},
		{"a witness without a name", func(r object) {
			first(r["witness"])["key"] = "+6b44a2a1+BBC2tVHXsDQC2i3QFpm67uD0hMzQqrVoPBqys+nNcfQt"
		}, 2},
	} {
		var r object
		if err := json.Unmarshal(good.roots, &r); err != nil {
			t.Fatal(err)
		}
		c.edit(r)
		in := good
		in.roots = encode(r)
		roots := anchorFile(t, dir, fmt.Sprint(i)+".roots", in.roots)
		cases = append(cases, anchorCase{Name: c.name, Roots: &roots, Proof: "proof", Policy: "policy"})
		inputs, exits = append(inputs, in), append(exits, c.exit)
	}
	anchorFile(t, dir, "proof", good.proof)
	anchorFile(t, dir, "policy", good.policy)
	anchorFile(t, dir, "anchors.json", must(json.Marshal(cases)))
	out, err := exec.CommandContext(t.Context(), run, verifier2, "--vectors", dir).Output()
	if err != nil {
		t.Fatalf("the second verifier: %v", err)
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil || len(a.Anchors) != len(cases) {
		t.Fatalf("%d answers to %d, %v", len(a.Anchors), len(cases), err)
	}
	for i, c := range cases {
		r, err := inputs[i].judge()
		exit, _, _ := outcomes(r, err)
		if exit != exits[i] {
			t.Errorf("%s: the first verifier ends with exit code %d, want %d (%v)", c.Name, exit, exits[i], err)
			continue
		}
		var want []byte
		if r != nil {
			want = r.JSON()
		}
		same(t, c.Name, a.Anchors[i], exit, want)
	}
}
