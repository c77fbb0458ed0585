package evidence

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// TestHostileRequestsTakeLittle reads bodies that promise much and hold little:
// each is refused, with no more memory than a few times its length.
func TestHostileRequestsTakeLittle(t *testing.T) {
	r, k := newTestRequest(t, 2)
	st := *r.Statement
	st.Count = MaxSubmissions
	signed, err := st.Sign(testChain, k)
	if err != nil {
		t.Fatal(err)
	}
	head, sub := `{"statement":`+string(signed)+`,"submissions":[`, string(r.Submissions[0].Bytes)
	fill := func(s, piece string) []byte {
		return []byte(s + strings.Repeat(piece, (MaxRequestBytes-len(s))/len(piece)))
	}
	tests := map[string][]byte{
		"promise of 1,000":     []byte(head + sub + `]}`),
		"promise cut off":      []byte(head + sub),
		"nothing but brackets": fill("", "["),
		"brackets after":       fill(head, "["),
		"a long string":        fill(head+`{"algorithm":"`, "a"),
		"escapes":              fill(head+`{"algorithm":"`, `\"`),
		"a long number":        fill(head+sub+`,{"captured_at":"2026-11-21T08:00:00.123Z","count":`, "1"),
		"unknown keys":         fill(head+`{`, `"a":1,`),
		"many refs":            fill(head+sub[:strings.Index(sub, `"refs":[`)+8], `{"sha256":"`+strings.Repeat("0", 64)+`","sm3":"`+strings.Repeat("0", 64)+`"},`),
		"one twice":            fill(head+sub, ","+sub),
		"a deep statement":     fill(`{"statement":{"body":`, `{"a":`),
		"a wide statement":     fill(`{"statement":{"body":[0`, ",0"),
	}
	for name, body := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ParseRequest(body)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: was taken", name)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(2*len(body)+64<<10) {
			t.Errorf("%s: %d bytes took %d bytes of memory", name, len(body), took)
		}
	}
}

// TestFirstDouble compares with a map, over pairs that crowd the table.
func TestFirstDouble(t *testing.T) {
	pair := func(word, rest int) (d merkle.Digest) {
		binary.LittleEndian.PutUint64(d.SHA256[:], uint64(word))
		d.SM3[31] = byte(rest)
		return d
	}
	crowd := make([]merkle.Digest, MaxSubmissions)
	for i := range crowd {
		crowd[i] = pair(7, i)
		binary.LittleEndian.PutUint32(crowd[i].SHA256[8:], uint32(i))
	}
	tests := map[string][]merkle.Digest{
		"none":         {},
		"one":          {pair(1, 1)},
		"apart":        {pair(1, 1), pair(2, 1), pair(1, 2), pair(1<<40, 1)},
		"twice":        {pair(1, 1), pair(2, 1), pair(1, 1)},
		"thrice":       {pair(3, 0), pair(3, 1), pair(3, 1), pair(3, 1), pair(3, 0)},
		"last of all":  {pair(15, 0), pair(15, 1), pair(0, 0), pair(31, 0), pair(15, 1)},
		"crowd":        crowd,
		"crowd, twice": append(crowd[:999:999], crowd[500]),
	}
	for name, pairs := range tests {
		wantI, wantJ, want := 0, 0, false
		seen := map[merkle.Digest]int{}
		for i, p := range pairs {
			if j, twice := seen[p]; twice {
				wantI, wantJ, want = i, j, true
				break
			}
			seen[p] = i
		}
		if i, j, twice := firstDouble(pairs); i != wantI || j != wantJ || twice != want {
			t.Errorf("%s: %d is %d, %v; want %d, %d, %v", name, i, j, twice, wantI, wantJ, want)
		}
	}
}

// TestRequestIsReadOnce: NewRequest returns what ParseRequest would have read.
func TestRequestIsReadOnce(t *testing.T) {
	for _, n := range []int{1, 3, 257, MaxSubmissions} {
		r, _ := newTestRequest(t, n)
		again, err := ParseRequest(bytes.Clone(r.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Submissions) != n || !bytes.Equal(r.Statement.Signed.Raw, again.Statement.Signed.Raw) || r.Statement.Root != again.Statement.Root {
			t.Fatalf("%d: read back as %+v", n, again.Statement)
		}
		for i := range n {
			a, b := r.Submissions[i], again.Submissions[i]
			x, _ := a.Marshal()
			y, _ := b.Marshal()
			if a.Pair != b.Pair || a.Pair != PairOf(a.Bytes) || !bytes.Equal(a.Bytes, b.Bytes) || !bytes.Equal(x, a.Bytes) || !bytes.Equal(y, a.Bytes) {
				t.Fatalf("%d: submission %d differs", n, i)
			}
		}
	}
}

// TestNewRequestRefuses what ParseRequest would refuse, before it signs.
func TestNewRequestRefuses(t *testing.T) {
	subs := []*Submission{sample(ContractFinal), sample(IdentityPerson), sample(SigningIntent)}
	signed := 0
	counter := signerFunc{testKey(t, gm.SM2), &signed}
	bad := map[string]func() []*Submission{
		"foreign submitter": func() []*Submission { s := *subs[1]; s.Submitter = "vendor-b"; return []*Submission{subs[0], &s} },
		"foreign key":       func() []*Submission { s := *subs[1]; s.Key = "crm-2"; return []*Submission{subs[0], &s} },
		"twice":             func() []*Submission { return []*Submission{subs[0], subs[1], subs[0]} },
		"invalid":           func() []*Submission { s := *subs[1]; s.Method = "retina"; return []*Submission{subs[0], &s} },
		"not UTF-8":         func() []*Submission { s := *subs[1]; s.Method = "\xff"; return []*Submission{subs[0], &s} },
		"none":              func() []*Submission { return nil },
	}
	for name, build := range bad {
		if _, err := NewRequest(testChain, build(), testTime, counter); err == nil || signed != 0 {
			t.Errorf("%s: %v, %d signatures", name, err, signed)
		}
	}
}

type signerFunc struct {
	*gm.PrivateKey
	signed *int
}

func (s signerFunc) Sign(msg []byte) ([]byte, error) { *s.signed++; return s.PrivateKey.Sign(msg) }

// TestEnvelope: the records of an envelope are those of AppendRecord.
func TestEnvelope(t *testing.T) {
	sub, err := sample(ContractFinal).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	in := Intake{Node: "court-a", ReceivedAt: testTime, Statement: merkle.Sum([]byte("st"))}
	e := NewEnvelope(in)
	for _, i := range []uint64{0, 9, 10, MaxSubmissions - 1} {
		in.Index = i
		want := AppendRecord([]byte("before"), in, sub)
		got := e.Append([]byte("before"), i, sub)
		if !bytes.Equal(got, want) || len(got)-len("before") > e.RecordBytes(len(sub)) {
			t.Errorf("record %d: %s, want %s", i, got, want)
		}
		if _, err := ParseRecord(got[len("before"):]); err != nil {
			t.Error(err)
		}
	}
}
