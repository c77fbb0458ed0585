package proof

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// note is a note of one member on some root.
func (c *consortium) note(member string, size uint64, root string, at time.Time) []byte {
	cp := checkpoint.Checkpoint{Origin: checkpoint.Origin(c.policy.Chain), Size: size, Root: merkle.LeafHash([]byte(root))}
	seal := must(checkpoint.Sign(cp, member, at.Unix(), c.seal[member]))
	return must(checkpoint.Note(cp, []checkpoint.Seal{seal}, &c.policy.Epochs[0]))
}

func (c *consortium) header(node string, seq uint64, root string) []byte {
	b := &evidence.Batch{FirstReceivedAt: c.now, LastReceivedAt: c.now, Node: node, RegistrySize: 2, Seq: seq,
		Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1, Root: merkle.LeafHash([]byte(root))}}}
	return must(b.Sign(c.policy.Chain, c.intake[node]))
}

func TestFraud(t *testing.T) {
	c := newConsortium(t)
	later := c.now.Add(time.Minute)
	split := func(first, second []byte) *Fraud {
		return &Fraud{Chain: c.policy.Chain, Kind: SplitView, Member: "notary-a", First: first, Second: second}
	}
	double := func(first, second []byte) *Fraud {
		return &Fraud{Chain: c.policy.Chain, Kind: DoubleBatch, Member: "vendor-a", First: first, Second: second}
	}
	x, y := c.note("notary-a", 9, "x", c.now), c.note("notary-a", 9, "y", later)
	hx, hy := c.header("vendor-a", 7, "x"), c.header("vendor-a", 7, "y")
	noSM2 := bytes.Join(bytes.SplitAfter(y, []byte("\n"))[:7], nil) // body, blank, log and Ed25519 lines
	foreign := newConsortium(t)
	pinned := *c.policy
	pinned.Epochs = []checkpoint.Epoch{pinned.Epochs[0]}
	pinned.Epochs[0].Pins = []checkpoint.Pin{{Size: 9, Root: merkle.LeafHash([]byte("x"))}}
	stranger := split(x, y)
	stranger.Member = "notary-b"
	other := double(hx, hy)
	other.Member = "court-a"
	cases := []struct {
		name   string
		f      *Fraud
		p      *checkpoint.Policy
		result Result
		failed StepName
	}{
		{"two roots of one size", split(x, y), c.policy, Proved, ""},
		{"the other way round", split(y, x), c.policy, Proved, ""},
		{"a root that the policy pins", split(x, y), &pinned, Proved, ""},
		{"two headers of one number", double(hx, hy), c.policy, Proved, ""},
		{"another chain's policy", split(x, y), foreign.policy, NotProved, StepChain},
		{"another chain's policy, headers", double(hx, hy), foreign.policy, NotProved, StepChain},
		{"a member that the policy does not know", stranger, c.policy, NotProved, StepChain},
		{"the same root sealed twice", split(x, c.note("notary-a", 9, "x", later)), c.policy, False, StepConflict},
		{"two sizes", split(x, c.note("notary-a", 10, "y", later)), c.policy, False, StepConflict},
		{"another member's seal", split(x, c.note("court-a", 9, "y", later)), c.policy, False, StepSecond},
		{"half a seal", split(x, noSM2), c.policy, False, StepSecond},
		{"a spoilt line", split(spoilLine(x), y), c.policy, False, StepFirst},
		{"another chain's note", split(x, foreign.note("notary-a", 9, "y", later)), c.policy, False, StepSecond},
		{"no note", split(x, []byte("nothing\n")), c.policy, False, StepSecond},
		{"one header signed twice", double(hx, c.header("vendor-a", 7, "x")), c.policy, False, StepConflict},
		{"two numbers", double(hx, c.header("vendor-a", 8, "y")), c.policy, False, StepConflict},
		{"another node's headers", other, c.policy, False, StepFirst},
		{"a header that somebody else signed", double(hx, func() []byte {
			c.intake["vendor-a"], c.intake["court-a"] = c.intake["court-a"], c.intake["vendor-a"]
			return c.header("vendor-a", 7, "y")
		}()), c.policy, False, StepSecond},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			f := must(ParseFraud(must(tc.f.Marshal())))
			if !IsFraud(must(f.Marshal())) {
				t.Error("it is not recognised")
			}
			for _, second := range []bool{false, true} {
				r := VerifyFraud(f, tc.p, Options{Second: second, PolicyDigest: merkle.Sum([]byte("p"))})
				if r.Result != tc.result || r.ExitCode() != map[Result]int{Proved: 0, False: 1, NotProved: 3}[tc.result] {
					t.Errorf("result %s, exit %d\n%s", r.Result, r.ExitCode(), r.Text(English))
				}
				var failed StepName
				for _, s := range r.Steps {
					if s.Outcome == StepFailed && failed == "" {
						failed = s.Name
					}
				}
				if failed != tc.failed || len(r.Steps) != 5 {
					t.Errorf("failed at %q of %d steps\n%s", failed, len(r.Steps), r.Text(English))
				}
				if err := canon.IsCanonical(r.JSON()); err != nil {
					t.Error(err)
				}
				if zh := r.Text(Chinese); !strings.Contains(zh, "结论") || strings.Contains(zh, "VERDICT") {
					t.Error(zh)
				}
			}
		})
	}
}

func spoilLine(note []byte) []byte {
	out := bytes.Clone(note)
	i := len(out) - 10
	if out[i]++; out[i] == '{' || out[i] == '[' || out[i] == ':' || out[i] == ',' || out[i] == '0' {
		out[i] = 'B'
	}
	return out
}

func TestParseFraudRefuses(t *testing.T) {
	c := newConsortium(t)
	f := &Fraud{Chain: c.policy.Chain, Kind: DoubleBatch, Member: "vendor-a", First: c.header("vendor-a", 7, "x"), Second: c.header("vendor-a", 7, "y")}
	good := string(must(f.Marshal()))
	for name, text := range map[string]string{
		"empty":           "",
		"a proof file":    strings.Replace(good, fraudType, fileType, 1),
		"another version": strings.Replace(good, `"v": 1`, `"v": 2`, 1),
		"another kind":    strings.Replace(good, "double-batch", "double-vote", 1),
		"no chain id":     strings.Replace(good, c.policy.Chain, "x", 1),
		"no member id":    strings.Replace(good, `"member": "vendor-a"`, `"member": "V"`, 1),
		"unknown field":   strings.Replace(good, `"v": 1`, `"v": 1,"w": 1`, 1),
		"no header":       strings.Replace(good, `"first": "`, `"first": "x`, 1),
		"too long":        good + strings.Repeat(" ", MaxFileBytes),
		"twice":           good + good,
	} {
		if text == good {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := ParseFraud([]byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if !IsFraud([]byte(good)) || IsFraud([]byte("contract")) || IsFraud([]byte(`["type":"qifeng-fraud"]`)) {
		t.Error("a fraud proof is not told from others")
	}
}

// FuzzFraud: nothing that is read panics, and nothing is proved that does not
// bear two signatures of the member.
func FuzzFraud(f *testing.F) {
	c := newConsortium(f)
	for _, x := range []*Fraud{
		{Chain: c.policy.Chain, Kind: SplitView, Member: "notary-a", First: c.note("notary-a", 9, "x", c.now), Second: c.note("notary-a", 9, "y", c.now)},
		{Chain: c.policy.Chain, Kind: DoubleBatch, Member: "vendor-a", First: c.header("vendor-a", 7, "x"), Second: c.header("vendor-a", 7, "y")},
	} {
		f.Add(must(x.Marshal()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ParseFraud(data)
		if err != nil {
			return
		}
		r := VerifyFraud(x, c.policy, Options{})
		if again, err := ParseFraud(must(x.Marshal())); err != nil || VerifyFraud(again, c.policy, Options{}).Result != r.Result {
			t.Fatalf("it reads differently when written again: %v", err)
		}
		if r.Result == Proved && bytes.Equal(x.First, x.Second) {
			t.Fatal("one statement is no contradiction")
		}
	})
}

// TestFraudFlips: no changed byte of a proof is proved, but for those of lines
// and layout that no key of the policy made.
func TestFraudFlips(t *testing.T) {
	c := newConsortium(t)
	for _, f := range []*Fraud{
		{Chain: c.policy.Chain, Kind: SplitView, Member: "notary-a", First: c.note("notary-a", 9, "x", c.now), Second: c.note("notary-a", 9, "y", c.now)},
		{Chain: c.policy.Chain, Kind: DoubleBatch, Member: "vendor-a", First: c.header("vendor-a", 7, "x"), Second: c.header("vendor-a", 7, "y")},
	} {
		raw := must(f.Marshal())
		for i := range raw {
			b := bytes.Clone(raw)
			b[i] ^= 1
			x, err := ParseFraud(b)
			if err != nil || VerifyFraud(x, c.policy, Options{}).Result != Proved {
				continue
			}
			if bytes.Equal(must(x.Marshal()), raw) {
				continue // layout
			}
			if x.Kind == SplitView && sameSeals(c, x, f) {
				continue // the log line's name or key id: it belongs to nobody now, and decides nothing
			}
			t.Errorf("%s: byte %d changed and it is still proved", f.Kind, i)
		}
	}
}

func sameSeals(c *consortium, x, y *Fraud) bool {
	for _, n := range [][2][]byte{{x.First, y.First}, {x.Second, y.Second}} {
		a, errA := checkpoint.Open(n[0], c.policy, checkpoint.Options{})
		b, errB := checkpoint.Open(n[1], c.policy, checkpoint.Options{})
		if errA != nil || errB != nil || a.Checkpoint != b.Checkpoint || len(a.Seals) != 1 || a.Seals[0].SM2 != b.Seals[0].SM2 || a.Seals[0].Ed25519 != b.Seals[0].Ed25519 {
			return false
		}
	}
	return true
}
