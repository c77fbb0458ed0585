package vectors

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// policyFile is policy.json. The text of a case is that of the base, edited.
type policyFile struct {
	Base  string       `json:"base"`
	Cases []policyCase `json:"cases"`
}

type policyCase struct {
	Name    string      `json:"name"`
	Replace [][2]string `json:"replace,omitempty"` // in order; the first occurrence of each
	Append  string      `json:"append,omitempty"`
	Repeat  int         `json:"repeat,omitempty"` // how often it is appended, if more than once
	Valid   bool        `json:"valid"`
}

// text applies the edits; a string that is not there is a defect of the vectors.
func (c policyCase) text(base string) []byte {
	for _, r := range c.Replace {
		if !strings.Contains(base, r[0]) {
			panic(c.Name + ": the policy has no " + r[0])
		}
		base = strings.Replace(base, r[0], r[1], 1)
	}
	return []byte(base + strings.Repeat(c.Append, max(c.Repeat, 1)))
}

func (w *world) policyVectors() policyFile {
	base := string(must(w.policy.Marshal()))
	ones, zeros := strings.Repeat("1", 64), strings.Repeat("0", 64)
	f := policyFile{Base: base, Cases: []policyCase{
		{Name: "as it is", Valid: true},
		{Name: "comments and blank lines", Valid: true, Append: "#\n", Replace: [][2]string{{"qifeng-policy/v1\n", "# a\n\n\nqifeng-policy/v1\n#\n"}, {"quorum", "# x y\n\nquorum"}}},
		{Name: "pins", Valid: true, Append: "pin 1 " + ones + " " + ones + "\npin 9 " + ones + " " + ones + "\n"},
		{Name: "empty", Replace: [][2]string{{base, ""}}},
		{Name: "last line not ended", Append: "#"},
		{Name: "pin of zeros", Append: "pin 1 " + zeros + " " + ones + "\n"},
		{Name: "pins fall", Append: "pin 9 " + ones + " " + ones + "\npin 8 " + ones + " " + ones + "\n"},
		{Name: "pin at 0", Append: "pin 0 " + ones + " " + ones + "\n"},
		{Name: "pin in capitals", Append: "pin 1 " + strings.Repeat("A", 64) + " " + ones + "\n"},
		{Name: "longer than 262144 bytes", Append: "#\n", Repeat: 131072},
	}}
	for _, e := range policyEdits {
		f.Cases = append(f.Cases, policyCase{Name: e.name, Valid: e.valid, Replace: [][2]string{{e.old, e.new}}})
	}
	f.Cases = append(f.Cases, w.keyPolicies(base)...)
	return f
}

var policyEdits = []struct {
	valid          bool
	name, old, new string
}{
	{true, "four of four", "quorum 3 of 4", "quorum 4 of 4"},
	{true, "three neutral roles", "neutral-roles 2", "neutral-roles 3"},
	{true, "one neutral role", "neutral-roles 2", "neutral-roles 1"},
	{true, "require two roles", "neutral-roles 2\n", "neutral-roles 2\nrequire court 1\nrequire vendor 1\n"},
	{false, "quorum of two thirds", "quorum 3 of 4", "quorum 2 of 4"},
	{false, "quorum above the members", "quorum 3 of 4", "quorum 5 of 4"},
	{false, "quorum of other count", "quorum 3 of 4", "quorum 4 of 5"},
	{false, "no neutral role", "neutral-roles 2", "neutral-roles 0"},
	{false, "four neutral roles", "neutral-roles 2", "neutral-roles 4"},
	{false, "require nobody", "neutral-roles 2\n", "neutral-roles 2\nrequire court 0\n"},
	{false, "require more than there are", "neutral-roles 2\n", "neutral-roles 2\nrequire court 2\n"},
	{false, "require unsorted", "neutral-roles 2\n", "neutral-roles 2\nrequire vendor 1\nrequire court 1\n"},
	{false, "require twice", "neutral-roles 2\n", "neutral-roles 2\nrequire court 1\nrequire court 1\n"},
	{false, "unknown role", "member court-a court", "member court-a judge"},
	{false, "two spaces", "quorum 3 of 4", "quorum  3 of 4"},
	{false, "space at the end", "neutral-roles 2\n", "neutral-roles 2 \n"},
	{false, "tab", "neutral-roles 2", "neutral-roles\t2"},
	{false, "CR", "neutral-roles 2\n", "neutral-roles 2\r\n"},
	{false, "not ASCII", "neutral-roles 2\n", "neutral-roles 2\n# 注\n"},
	{false, "line of a space", "neutral-roles 2\n", "neutral-roles 2\n \n"},
	{false, "leading zero", "neutral-roles 2", "neutral-roles 02"},
	{false, "sign", "neutral-roles 2", "neutral-roles +2"},
	{false, "first epoch at 2", "epoch 1\n", "epoch 2\n"},
	{false, "first epoch at 0", "epoch 1\n", "epoch 0\n"},
	{false, "no epoch line", "epoch 1\n", ""},
	{false, "other header", "qifeng-policy/v1", "qifeng-policy/v2"},
	{false, "unknown line", "neutral-roles 2\n", "neutral-roles 2\nweight 1\n"},
	{false, "other order", "quorum 3 of 4\nneutral-roles 2\n", "neutral-roles 2\nquorum 3 of 4\n"},
	{false, "chain not of its genesis", "chain vectors-", "chain vectors-0"},
	{false, "member id in capitals", "member court-a", "member Court-a"},
	{false, "member named none", "member court-a", "member none"},
	{false, "members unsorted", "member arbitration-a", "member zz"},
	{false, "member twice", "member court-a", "member arbitration-a"},
	{false, "no log key", "log ed25519:", "lag ed25519:"},
	{false, "sm2 key in capitals", "seal-sm2 sm2:04", "seal-sm2 SM2:04"},
	{false, "compressed point", "seal-sm2 sm2:04", "seal-sm2 sm2:02"},
	{false, "ed25519 key for SM2", "seal-sm2 sm2:", "seal-sm2 ed25519:"},
}

// keyPolicies are about keys and about more than one epoch.
func (w *world) keyPolicies(base string) (out []policyCase) {
	edit := func(name, old, new string) {
		out = append(out, policyCase{Name: name, Replace: [][2]string{{old, new}}})
	}
	court, vendor := w.actor("court-a"), w.actor("vendor-a")
	edit("one key of two members", "intake "+court.intake.Public().String(), "intake "+vendor.intake.Public().String())
	edit("one key for two uses", "admin "+court.admin.Public().String(), "admin "+court.intake.Public().String())
	raw := court.sm2.Public().Bytes()
	raw[64] ^= 1
	edit("point off the curve", court.sm2.Public().String(), "sm2:"+hex.EncodeToString(raw))
	log := court.log.Public().String()
	for _, small := range []string{"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"} {
		edit("ed25519 point of small order "+small[:4], log, "ed25519:"+small)
	}
	edit("ed25519 y above the prime", log, "ed25519:f0"+strings.Repeat("ff", 30)+"7f")

	epoch := base[strings.Index(base, "epoch 1\n"):]
	second := strings.Replace(epoch, "epoch 1\n", "epoch 100\n", 1)
	ones, renewed := strings.Repeat("1", 64), keyOf(gm.Ed25519, "renewed").Public().String()
	add := func(valid bool, name, more string) {
		out = append(out, policyCase{Name: name, Valid: valid, Append: more})
	}
	add(true, "two epochs with the same keys", second)
	add(true, "two epochs, a key renewed", strings.Replace(second, log, renewed, 1))
	add(true, "pin before the next epoch", "pin 99 "+ones+" "+ones+"\n"+second)
	add(false, "pin in the next epoch", "pin 100 "+ones+" "+ones+"\n"+second)
	add(false, "epochs do not rise", epoch)
	add(false, "second epoch's key belonged to another use",
		strings.Replace(strings.Replace(second, log, renewed, 1), vendor.log.Public().String(), log, 1))
	return out
}

func TestPolicy(t *testing.T) {
	var f policyFile
	readJSON(t, "policy.json", &f)
	if want := newWorld("vectors").policyVectors().Cases; len(want) != len(f.Cases) {
		t.Errorf("%d policies, the table has %d: run with -update", len(f.Cases), len(want))
	}
	for _, c := range f.Cases {
		if _, err := checkpoint.ParsePolicy(c.text(f.Base)); (err == nil) != c.Valid {
			t.Errorf("%s: %v, want valid: %v", c.Name, err, c.Valid)
		}
	}
}

// noteFileVectors are notes by themselves: bytes that a proof file cannot hold,
// and the counting of seals. Expected values are by hand.
func (w *world) noteFileVectors() (out []noteCase) {
	const policy = "files/policies/trust.policy"
	c := checkpoint.Checkpoint{Origin: checkpoint.Origin(w.chain), Size: 42, Root: merkle.Sum([]byte("a root"))}
	ids := []string{"arbitration-a", "court-a", "notary-a", "vendor-a"}
	epoch := &w.policy.Epochs[0]
	t0 := clock(0).Unix()
	sealedAt := func(times ...int64) []byte {
		var seals []checkpoint.Seal
		for i, t := range times {
			if t != 0 {
				seals = append(seals, w.sealAt(c, ids[i], t0+t))
			}
		}
		return must(checkpoint.Note(c, seals, epoch))
	}
	open := func(name string, note []byte, sealed int64, counted ...string) {
		if sealed != 0 {
			sealed += t0
		}
		out = append(out, noteCase{name, policy, note, true, slices.Concat([]string{}, counted), sealed})
	}
	shut := func(name string, note []byte) {
		out = append(out, noteCase{name, policy, note, false, []string{}, 0})
	}
	all := sealedAt(10, 20, 30, 40)
	open("all four", all, 30, ids...)
	open("neutral role comes last", sealedAt(30, 0, 20, 10), 30, "arbitration-a", "notary-a", "vendor-a")
	open("all at one time", sealedAt(5, 5, 5, 5), 5, ids...)
	open("a late vendor does not count for the time", sealedAt(1, 2, 3, 1000000), 3, ids...)
	open("two members", sealedAt(10, 20, 0, 0), 0, "arbitration-a", "court-a")
	open("one member", sealedAt(0, 0, 0, 40), 0, "vendor-a")
	open("a seal in the year 2106", sealedAt(1, 2, 0, 2500000000), 2500000000, "arbitration-a", "court-a", "vendor-a")
	blank := bytes.Index(all, []byte("\n\n")) + 2
	line := func(s string) []byte { return slices.Concat(all, []byte(s)) }
	open("unknown line with a Chinese name", line("— 公证处 "+b64("12345")+"\n"), 30, ids...)
	open("a member's name with an unknown key id", line("— court-a "+b64("12345678")+"\n"), 30, ids...)
	open("the SM2 lines alone of one member", signatureLines(func(l []string) []string { return slices.Delete(l, lineEd, lineEd+1) })(all), 40, ids[1:]...)
	shut("empty", []byte{})
	shut("body alone", all[:blank-1])
	shut("blank line at the end", line("\n"))
	shut("unknown line of four bytes", line("— x "+b64("1234")+"\n"))
	shut("unknown line without base64", line("— x\n"))
	shut("unknown line with spaces in base64", line("— x "+b64("12345")+" \n"))
	shut("key name with plus", line("— x+y "+b64("12345")+"\n"))
	shut("empty key name", line("—  "+b64("12345")+"\n"))
	shut("key name with a no-break space", line("— x\u00a0y "+b64("12345")+"\n"))
	shut("key name that is not UTF-8", line("— x\xff "+b64("12345")+"\n"))
	shut("CR at the end of lines", bytes.ReplaceAll(all, []byte("\n"), []byte("\r\n")))
	shut("en dash", bytes.Replace(all, []byte("— "), []byte("– "), 1))
	shut("longer than 65536 bytes", line("— x "+b64(strings.Repeat("x", 50000))+"\n"))
	shut("a bit of the root", bytes.Replace(all, all[bytes.Index(all, []byte("\nsm3 "))+5:][:4], []byte("AAAA"), 1))
	shut("size above 2^53-1", bytes.Replace(all, []byte("\n42\n"), []byte("\n9007199254740992\n"), 1))
	for _, c := range out {
		if got, err := checkpoint.Open(c.Note, w.policy, checkpoint.Options{}); (err == nil) != c.Open || err == nil && (len(got.Seals) != len(c.Counted) || got.SealedTime != c.SealedTime) {
			panic(fmt.Sprintf("%s: %v %+v", c.Name, err, got))
		}
	}
	return out
}
