package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

const secret = "inner text with /var/lib/path"

// brokenArchive answers with err wherever it is set.
type brokenArchive struct {
	api.Archive
	err    error
	change func([]archive.Stored) []archive.Stored
}

func (b *brokenArchive) Submit(ctx context.Context, req *evidence.Request) (*archive.Taken, error) {
	if b.err != nil {
		return nil, b.err
	}
	taken, err := b.Archive.Submit(ctx, req)
	if err != nil || b.change == nil {
		return taken, err
	}
	st, err := taken.Stored()
	if err != nil {
		return nil, err
	}
	return archive.TakenOf(b.change(st)...), nil
}

func (b *brokenArchive) ByID(id evidence.ID) ([]archive.Stored, error) {
	if b.err != nil {
		return nil, b.err
	}
	st, err := b.Archive.ByID(id)
	if b.change != nil {
		st = b.change(st)
	}
	return st, err
}

// brokenChain fails or panics at the call that is named.
type brokenChain struct {
	api.Chain
	at   string
	boom bool
}

func (b *brokenChain) fault(at string) error {
	if b.at != at {
		return nil
	}
	if b.boom {
		panic(secret)
	}
	return errors.New(secret)
}

func (b *brokenChain) Batch(node string, seq uint64) (uint64, bool, error) {
	if err := b.fault("batch"); err != nil {
		return 0, false, err
	}
	return b.Chain.Batch(node, seq)
}

func (b *brokenChain) Covering(index uint64) ([]byte, uint64, bool, error) {
	if err := b.fault("covering"); err != nil {
		return nil, 0, false, err
	}
	return b.Chain.Covering(index)
}

func (b *brokenChain) Entry(index uint64) ([]byte, error) {
	if err := b.fault("entry"); err != nil {
		return nil, err
	}
	return b.Chain.Entry(index)
}

func (b *brokenChain) Inclusion(index, size uint64) ([]merkle.Digest, error) {
	if err := b.fault("inclusion"); err != nil {
		return nil, err
	}
	return b.Chain.Inclusion(index, size)
}

func (b *brokenChain) Key(member, name string) (chain.Key, bool, error) {
	if name == apitest.ReadKeyName { // the door has no part in this
		return b.Chain.Key(member, name)
	}
	if err := b.fault("key"); err != nil {
		return chain.Key{}, false, err
	}
	return b.Chain.Key(member, name)
}

func TestArchiveFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   string
		retry  bool
	}{
		{"unmapped", errors.New(secret), 500, "internal", false},
		{"busy", &archive.BusyError{RetryAfter: 2500 * time.Millisecond, Reason: "the backlog is full"}, 503, "busy", true},
		{"too much at once", &archive.BusyError{RetryAfter: time.Second, Reason: "the queue is full", Load: true}, 429, "overloaded", true},
		{"stopped", archive.ErrStopped, 503, "unavailable", false},
		{"disk full", archive.ErrFull, 507, "storage-full", false},
		{"clock", archive.ErrClock, 503, "unavailable", false},
		{"tampered", &archive.TamperedError{What: secret}, 500, "tampered", false},
		{"the caller went", context.Canceled, 503, "interrupted", true},
		{"revoked", archive.ErrKeyRevoked, 403, "revoked-key", false},
		{"purpose", archive.ErrKeyPurpose, 403, "key-purpose", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			broken := &brokenArchive{err: tc.err}
			n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { broken.Archive = a; return broken }})
			resp, body := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "x")).Raw)
			p := problemOf(t, resp, body)
			if p.Status != tc.status || p.Code != tc.code {
				t.Errorf("%s, want %d %s", body, tc.status, tc.code)
			}
			if (resp.Header.Get("Retry-After") != "") != tc.retry {
				t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
			if strings.Contains(string(body), "/var/lib") {
				t.Errorf("inner text goes out: %s", body)
			}
			if tc.status >= 500 && !strings.Contains(n.Log.String(), p.RequestID) {
				t.Errorf("request id %s is not in the log", p.RequestID)
			}
			if stored(n) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// TestLyingArchive: an archive that answers something else is not believed.
func TestLyingArchive(t *testing.T) {
	for name, change := range map[string]func([]archive.Stored) []archive.Stored{
		"too few":      func(st []archive.Stored) []archive.Stored { return st[1:] },
		"other order":  func(st []archive.Stored) []archive.Stored { st[0], st[1] = st[1], st[0]; return st },
		"no statement": func(st []archive.Stored) []archive.Stored { st[0].Statement = nil; return st },
	} {
		t.Run(name, func(t *testing.T) {
			broken := &brokenArchive{change: change}
			n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { broken.Archive = a; return broken }})
			resp, body := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "x"), contract(n, "y")).Raw)
			if p := problemOf(t, resp, body); p.Status != 500 {
				t.Errorf("%s", body)
			}
		})
	}
}

// TestChainFaults: any fault below the proof, error or panic, is a 500 without
// inner text, and the node goes on.
func TestChainFaults(t *testing.T) {
	for _, at := range []string{"batch", "covering", "entry", "inclusion", "key"} {
		for _, boom := range []bool{false, true} {
			broken := &brokenChain{boom: boom}
			n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { broken.Chain = c; return broken }})
			n.Ledger.Auto()
			req := request(t, n, contract(n, "x"))
			if got := submit(t, n, req, 10*time.Second); got.State != wire.Sealed {
				t.Fatalf("state %s", got.State)
			}
			path := "/v1/records/" + string(req.Submissions[0].ID()) + "/proof"
			broken.at = at
			resp, body := call(t, n, "GET", path, nil)
			p := problemOf(t, resp, body)
			if p.Status != 500 || p.Code != "internal" || strings.Contains(string(body), "/var/lib") {
				t.Errorf("%s, panic %t: %s", at, boom, body)
			}
			if !strings.Contains(n.Log.String(), secret) || !strings.Contains(n.Log.String(), p.RequestID) {
				t.Errorf("%s, panic %t: the log does not tell", at, boom)
			}
			broken.at = ""
			if resp, body := call(t, n, "GET", path, nil); resp.StatusCode != http.StatusOK {
				t.Errorf("%s, panic %t: afterwards %d %s", at, boom, resp.StatusCode, body)
			}
		}
	}
}

// TestOwnProofIsVerified: what does not verify never leaves the node.
func TestOwnProofIsVerified(t *testing.T) {
	broken := &brokenArchive{}
	n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { broken.Archive = a; return broken }})
	n.Ledger.Auto()
	req := request(t, n, contract(n, "x"), contract(n, "y"))
	submit(t, n, req, 10*time.Second)
	path := "/v1/records/" + string(req.Submissions[0].ID()) + "/proof"
	flip := func(b []byte, at int) []byte {
		b = append([]byte(nil), b...)
		b[at] ^= 1
		return b
	}
	for name, change := range map[string]func(*archive.Stored){
		"record":         func(st *archive.Stored) { st.Record = flip(st.Record, len(st.Record)-20) },
		"statement":      func(st *archive.Stored) { st.Statement = flip(st.Statement, len(st.Statement)-30) },
		"statement path": func(st *archive.Stored) { st.StatementPath = nil },
		"receipt":        func(st *archive.Stored) { st.ReceiptHead = flip(st.ReceiptHead, len(st.ReceiptHead)-30) },
		"receipt index":  func(st *archive.Stored) { st.ReceiptIndex++ },
		"stream index":   func(st *archive.Stored) { st.StreamIndex++ },
		"stream path":    func(st *archive.Stored) { st.StreamPath = nil },
		"another header": func(st *archive.Stored) { st.Header = flip(st.Header, len(st.Header)-30) },
	} {
		broken.change = func(list []archive.Stored) []archive.Stored {
			out := append([]archive.Stored(nil), list...)
			change(&out[0])
			return out
		}
		resp, body := call(t, n, "GET", path, nil)
		p := problemOf(t, resp, body)
		if p.Status != 500 || p.Code != "tampered" {
			t.Errorf("%s changed: %s", name, body)
		}
		if !strings.Contains(n.Log.String(), "TAMPERED") || !strings.Contains(n.Log.String(), p.RequestID) {
			t.Errorf("%s changed: the log is silent", name)
		}
	}
	broken.change = nil
	n.Ledger.Tamper(1, n.KeyEntry(t, apitest.Node, apitest.KeyName, n.Keys["court-a"].Admin.Public(), evidence.Submit))
	resp, body := call(t, n, "GET", path, nil)
	if p := problemOf(t, resp, body); p.Code != "tampered" {
		t.Errorf("ledger entry changed: %s", body)
	}
}

// panicChain panics where no error can be returned.
type panicChain struct{ api.Chain }

func (*panicChain) Status() chain.Status { panic("ouch") }
