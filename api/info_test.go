package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/proof/checkpoint"
)

func TestCheckpointAndSeals(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	for _, path := range []string{"/v1/checkpoint", "/v1/seals"} {
		resp, body := call(t, n, "GET", path, nil)
		if p := problemOf(t, resp, body); p.Status != 404 {
			t.Errorf("%s before the first seal: %s", path, body)
		}
	}
	n.Ledger.Seal()
	note, err := n.Client.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := checkpoint.Open(note, n.Policy, checkpoint.Options{Second: true})
	if err != nil || !sealed.Met || sealed.Size != 2 {
		t.Errorf("checkpoint %+v, %v", sealed, err)
	}
	seals, err := n.Client.Seals(t.Context(), 2)
	if err != nil || len(seals.Seals) != 4 || seals.Body != string(sealed.Body()) {
		t.Errorf("seals %+v, %v", seals, err)
	}
	n.Ledger.SetAway("court-a", "notary-a")
	submit(t, n, request(t, n, contract(n, "x")), 0)
	waitFor(t, "the header", func() bool { return n.Ledger.Pending() > 0 })
	n.Ledger.Commit()
	n.Ledger.Seal() // no quorum: kept, and shown, but no checkpoint
	if seals, err := n.Client.Seals(t.Context(), 3); err != nil || len(seals.Seals) != 2 {
		t.Errorf("seals without a quorum: %+v, %v", seals, err)
	}
	if again, err := n.Client.Checkpoint(t.Context()); err != nil || !bytes.Equal(again, note) {
		t.Errorf("checkpoint without a quorum: %q, %v", again, err)
	}
}

func TestWhatTheChainIs(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	text, err := n.Client.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil || p.Chain != n.Chain || p.Genesis != n.Policy.Genesis {
		t.Errorf("policy %+v, %v", p, err)
	}
	raw, err := n.Client.Genesis(t.Context())
	if err != nil || !bytes.Equal(raw, n.Genesis.Raw) {
		t.Errorf("genesis: %v, equal %t", err, bytes.Equal(raw, n.Genesis.Raw))
	}
	members, err := n.Client.Members(t.Context())
	if err != nil || len(members.Members) != 4 || members.Chain != n.Chain {
		t.Fatalf("members %+v, %v", members, err)
	}
	for _, m := range members.Members {
		want, _ := p.Epochs[0].Member(m.ID)
		if m.Name != "成员 "+m.ID || m.API == "" || m.Intake != want.Intake.String() || m.Role != string(want.Role) {
			t.Errorf("member %+v", m)
		}
	}
}

func TestReadiness(t *testing.T) {
	broken := &statusArchive{}
	n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { broken.Archive = a; return broken }})
	ready := func() (int, wire.Ready) {
		t.Helper()
		resp, body := call(t, n, "GET", "/readyz", nil)
		var r wire.Ready
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
		}
		return resp.StatusCode, r
	}
	expect := func(code string, parts ...string) {
		t.Helper()
		status, r := ready()
		if status != http.StatusServiceUnavailable || r.Ready || len(r.Reasons) != 1 || r.Reasons[0].Code != code {
			t.Fatalf("%d %+v, want the one reason %s", status, r, code)
		}
		for _, part := range parts {
			if !strings.Contains(r.Reasons[0].Detail, part) {
				t.Errorf("%q does not say %q", r.Reasons[0].Detail, part)
			}
		}
		st, err := n.Client.Status(t.Context())
		if err != nil || st.Ready || len(st.Reasons) != 1 {
			t.Errorf("status does not agree: %+v, %v", st, err)
		}
	}
	if status, r := ready(); status != http.StatusOK || !r.Ready || len(r.Reasons) != 0 {
		t.Fatalf("%d %+v, want ready", status, r)
	}
	n.Ledger.SetAway("court-a")
	if status, _ := ready(); status != http.StatusOK {
		t.Error("one member away: not ready")
	}
	n.Ledger.SetAway("court-a", "notary-a")
	expect("quorum", "court-a", "notary-a", "3 of 4")
	n.Ledger.SetAway()
	n.Ledger.SetStatus(func(st *chain.Status) { st.CatchingUp, st.Height = true, 7 })
	expect("catching-up", "7")
	n.Ledger.SetStatus(func(st *chain.Status) {
		st.CatchingUp, st.Guard = false, chain.GuardStatus{Text: "another history", Alarm: true}
	})
	expect("guard", "another history")
	n.Ledger.SetStatus(func(st *chain.Status) { st.Guard = chain.GuardStatus{OK: true} })
	broken.change = func(st *archive.Status) { st.Accepting, st.Reason = false, "a write failed" }
	expect("archive", "a write failed")
	broken.change = func(st *archive.Status) {
		st.Alarms = []archive.Alarm{{Kind: archive.AlarmFull, Text: "no room"}}
	}
	expect("archive-full", "no room")
	broken.change = nil
	n.Server.Drain()
	expect("stopping")
	if resp, body := call(t, n, "GET", "/healthz", nil); resp.StatusCode != 200 || string(body) != "ok\n" {
		t.Errorf("healthz: %d %q", resp.StatusCode, body)
	}
}

// statusArchive shows another status.
type statusArchive struct {
	api.Archive
	change func(*archive.Status)
}

func (a *statusArchive) Status() archive.Status {
	st := a.Archive.Status()
	if a.change != nil {
		a.change(&st)
	}
	return st
}

func TestStatus(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Seal()
	n.Ledger.SetStatus(func(st *chain.Status) {
		st.Height, st.LastBlockTime = 12, time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
		st.Alarms = []chain.Alarm{{Time: st.LastBlockTime, Text: "two seals"}}
	})
	submit(t, n, request(t, n, contract(n, "x")), 0)
	st, err := n.Client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Chain != n.Chain || st.Node != apitest.Node || st.Version != "test" || !st.Ready || st.Ledger.Height != 12 ||
		st.Ledger.LastBlock != "2026-11-21T08:00:00.000Z" || st.Ledger.Size != 2 || st.Ledger.SealedSize != 2 ||
		st.Ledger.Quorum != "3 of 4 members, 2 neutral roles" || !st.Ledger.QuorumMet || !st.Ledger.GuardOK ||
		len(st.Ledger.Alarms) != 1 || len(st.Members) != 4 || !st.Intake.Accepting || st.Intake.Open+st.Intake.Queued != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestLogHoldsNoData: neither what is asked for nor what is stored nor who asks
// stands in the log.
func TestLogHoldsNoData(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	sub := contract(n, "x")
	sub.Dossier = "00112233445566778899aabbccddeeff"
	req := request(t, n, sub)
	submit(t, n, req, 5*time.Second)
	id := string(req.Submissions[0].ID())
	call(t, n, "GET", "/v1/records/"+id+"/proof", nil, "User-Agent", "spy/1.0", "Authorization", "Bearer hush")
	call(t, n, "GET", "/v1/records?dossier="+string(sub.Dossier), nil)
	call(t, n, "GET", "/v1/records/hush", nil)
	call(t, n, "GET", "/hush?name=hush", nil)
	call(t, n, "HUSH", "/v1/records", nil)
	n.Server.Drain()
	log := n.Log.String()
	for _, word := range []string{id, string(sub.Dossier), "spy", "hush", "HUSH", "127.0.0.1", "nonce", `"sig`} {
		if strings.Contains(log, word) {
			t.Errorf("the log holds %q", word)
		}
	}
	if strings.Count(log, `"msg":"request"`) != 6 || !strings.Contains(log, `"route":"/v1/records/:id/proof"`) {
		t.Errorf("access log:\n%s", log)
	}
}
