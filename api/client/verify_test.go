package client_test

import (
	"encoding/json"
	"errors"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// submitted is a node's honest answer to a request of two.
func submitted(tb testing.TB) (*apitest.TestNode, *evidence.Request, *client.Submitted) {
	tb.Helper()
	n := apitest.NewNode(tb, apitest.Options{})
	req, err := n.Submit.NewRequest(
		n.Submit.NewContract(evidence.ContractFinal, merkle.Sum([]byte("a")), 1),
		n.Submit.NewContract(evidence.ContractFinal, merkle.Sum([]byte("b")), 1))
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := n.Client.Submit(tb.Context(), req.Raw, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return n, req, answer
}

func parse(tb testing.TB, raw []byte) *proof.File {
	tb.Helper()
	f, err := proof.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestVerifyReceipt(t *testing.T) {
	n, req, answer := submitted(t)
	other, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	foreign := apitest.NewConsortium(t)
	for _, tc := range []struct {
		name   string
		change func(f *proof.File, sent *client.Sent)
		policy *apitest.Consortium
		ok     bool
	}{
		{"as it came", nil, n.Consortium, true},
		{"policy of another chain", nil, foreign, false},
		{"another chain's name", func(f *proof.File, _ *client.Sent) { f.Chain = foreign.Chain }, foreign, false},
		{"another submission was sent", func(_ *proof.File, s *client.Sent) { s.Submission = req.Submissions[1].Bytes }, n.Consortium, false},
		{"another key signed", func(_ *proof.File, s *client.Sent) { s.Key = other.Public() }, n.Consortium, false},
		{"the other record", func(f *proof.File, _ *client.Sent) { f.Record = parse(t, answer.Records[1].File).Record }, n.Consortium, false},
		{"half a record", func(f *proof.File, _ *client.Sent) { f.Record = f.Record[:40] }, n.Consortium, false},
		{"no record", func(f *proof.File, _ *client.Sent) { f.Record = nil }, n.Consortium, false},
		{"the record taken in elsewhere", func(f *proof.File, _ *client.Sent) { f.Record = moved(t, f.Record) }, n.Consortium, false},
		{"another statement of ours", func(f *proof.File, _ *client.Sent) {
			again, err := n.Submit.NewRequest(req.Submissions[0].Submission, req.Submissions[1].Submission)
			if err != nil {
				t.Fatal(err)
			}
			f.Statement.Signed = again.Statement.Signed.Raw
		}, n.Consortium, false},
		{"no statement", func(f *proof.File, _ *client.Sent) { f.Statement.Signed = nil }, n.Consortium, false},
		{"no path in the statement", func(f *proof.File, _ *client.Sent) { f.Statement.Path = nil }, n.Consortium, false},
		{"a receipt by another member", func(f *proof.File, _ *client.Sent) {
			f.Receipt.Head = resigned(t, n, f.Receipt.Head, "court-a", n.Keys["court-a"].Intake)
		}, n.Consortium, false},
		{"a receipt in the node's name", func(f *proof.File, _ *client.Sent) {
			f.Receipt.Head = resigned(t, n, f.Receipt.Head, apitest.Node, other)
		}, n.Consortium, false},
		{"a receipt by nobody", func(f *proof.File, _ *client.Sent) {
			f.Receipt.Head = resigned(t, n, f.Receipt.Head, "vendor-z", other)
		}, n.Consortium, false},
		{"no receipt", func(f *proof.File, _ *client.Sent) { f.Receipt.Head = nil }, n.Consortium, false},
		{"another place in the receipt", func(f *proof.File, _ *client.Sent) { f.Receipt.Index ^= 1 }, n.Consortium, false},
		{"no path in the receipt", func(f *proof.File, _ *client.Sent) { f.Receipt.Path = nil }, n.Consortium, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := parse(t, answer.Records[0].File)
			sent := client.Sent{Submission: req.Submissions[0].Bytes, Key: n.User.Public()}
			if tc.change != nil {
				tc.change(f, &sent)
			}
			err := client.VerifyReceipt(f, tc.policy.Policy, sent)
			if tc.ok != (err == nil) || (err != nil && !errors.Is(err, client.ErrReceipt)) {
				t.Errorf("error %v, want ok %t", err, tc.ok)
			}
		})
	}
}

// moved is the record with another node's name.
func moved(t *testing.T, record []byte) []byte {
	t.Helper()
	rec, err := evidence.ParseRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	rec.Intake.Node = "court-a"
	out, err := rec.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// resigned is the receipt's head in another name, signed with another key.
func resigned(t *testing.T, n *apitest.TestNode, head []byte, node string, k gm.Signer) []byte {
	t.Helper()
	h, err := evidence.ParseReceiptHead(head)
	if err != nil {
		t.Fatal(err)
	}
	h.Node = node
	out, err := h.Sign(n.Chain, k)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEveryByteOfAReceipt: a byte changed anywhere in the file is found, or
// changed nothing that is stated.
func TestEveryByteOfAReceipt(t *testing.T) {
	n, req, answer := submitted(t)
	raw := answer.Records[0].File
	sent := client.Sent{Submission: req.Submissions[0].Bytes, Key: n.User.Public()}
	whole, err := parse(t, raw).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		f, err := proof.Parse(changed)
		if err != nil {
			continue
		}
		if err := client.VerifyReceipt(f, n.Policy, sent); err == nil {
			if same, err := f.Marshal(); err != nil || string(same) != string(whole) {
				t.Fatalf("byte %d changed (%q): the receipt still holds", i, raw[max(0, i-20):i+1])
			}
		}
	}
}

func TestVerifySubmitted(t *testing.T) {
	n, req, answer := submitted(t)
	for name, change := range map[string]func(a *client.Submitted){
		"as it came":     nil,
		"another chain":  func(a *client.Submitted) { a.Chain = "other-00000000" },
		"too few":        func(a *client.Submitted) { a.Records = a.Records[:1] },
		"too many":       func(a *client.Submitted) { a.Records = append(a.Records, a.Records[0]) },
		"another order":  func(a *client.Submitted) { a.Records[0], a.Records[1] = a.Records[1], a.Records[0] },
		"another id":     func(a *client.Submitted) { a.Records[0].ID = a.Records[1].ID },
		"another's file": func(a *client.Submitted) { a.Records[0].File = a.Records[1].File },
		"no file":        func(a *client.Submitted) { a.Records[1].File = nil },
		"half a file":    func(a *client.Submitted) { a.Records[1].File = a.Records[1].File[:100] },
	} {
		t.Run(name, func(t *testing.T) {
			a := *answer
			a.Records = append([]client.Record(nil), answer.Records...)
			if change != nil {
				change(&a)
			}
			files, err := client.VerifySubmitted(&a, req, n.Policy, n.User.Public())
			if change == nil {
				if err != nil || len(files) != 2 {
					t.Fatalf("%d files, %v", len(files), err)
				}
				return
			}
			if !errors.Is(err, client.ErrReceipt) {
				t.Errorf("error %v, want ErrReceipt", err)
			}
		})
	}
}

// TestRetriedReceiptHolds: after a lost answer the receipt names the first
// statement, and holds all the same.
func TestRetriedReceiptHolds(t *testing.T) {
	n, req, _ := submitted(t)
	again, err := n.Submit.NewRequest(req.Submissions[1].Submission)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.Client.Submit(t.Context(), again.Raw, 0)
	if err != nil {
		t.Fatal(err)
	}
	files, err := client.VerifySubmitted(answer, again, n.Policy, n.User.Public())
	if err != nil {
		t.Fatal(err)
	}
	if string(files[0].Statement.Signed) != string(req.Statement.Signed.Raw) {
		t.Error("the receipt does not name the first statement")
	}
}

func TestSubmitterFills(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	a := n.Submit.NewContract(evidence.ContractFinal, merkle.Sum(nil), 0)
	b := n.Submit.NewContract(evidence.ContractFinal, merkle.Sum(nil), 0)
	if a.Nonce == b.Nonce || a.CapturedAt.IsZero() || a.Submitter != apitest.Node || a.Key != apitest.KeyName || a.Source != n.Source {
		t.Errorf("filled %+v", a)
	}
	own := &evidence.Submission{Kind: evidence.ContractFinal, Source: evidence.Source{System: "ca"}, Key: "mine"}
	if n.Submit.Fill(own); own.Source.System != "ca" || own.Key != "mine" {
		t.Errorf("what was set is gone: %+v", own)
	}
	if _, err := n.Submit.NewRequest(); err == nil {
		t.Error("an empty request was signed")
	}
	none := n.Submit
	none.Signer = nil
	if _, err := none.NewRequest(a); err == nil {
		t.Error("a request was signed without a key")
	}
	if d := client.NewDossier(); d == client.NewDossier() {
		t.Error("two dossiers of one name")
	} else if _, err := evidence.ParseDossier(string(d)); err != nil {
		t.Error(err)
	}
}

// FuzzVerifySubmitted: whatever a node answers, the client neither panics nor
// believes it, except for the one true answer.
func FuzzVerifySubmitted(f *testing.F) {
	n, req, answer := submitted(f)
	honest, err := json.Marshal(answer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(honest)
	f.Add(honest[:len(honest)/2])
	f.Add([]byte(`{"chain":"` + n.Chain + `","records":[{},{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a client.Submitted
		if json.Unmarshal(raw, &a) != nil {
			return
		}
		files, err := client.VerifySubmitted(&a, req, n.Policy, n.User.Public())
		if err != nil {
			return
		}
		for i, file := range files {
			if got, _ := file.Marshal(); string(got) != string(mustMarshal(t, answer.Records[i].File)) {
				t.Fatalf("believed: %s", raw)
			}
		}
	})
}

func mustMarshal(t *testing.T, raw []byte) []byte {
	t.Helper()
	out, err := parse(t, raw).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
