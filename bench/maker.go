package bench

import (
	"bytes"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Submitter is who submits: a registered key of purpose submit.
type Submitter struct {
	Chain  string
	Member string
	Key    string // its name in the register
	Signer gm.Signer
}

// session is what one signing session preserves, in order: who signs, what is
// to be signed, that he wants to, that he did, and what came out of it.
var session = []evidence.Kind{
	evidence.IdentityPerson, evidence.ContractOriginal, evidence.SigningIntent, evidence.SigningSignature, evidence.ContractFinal,
}

// Maker makes one signed request after the other, in the same memory.
type Maker struct {
	by      Submitter
	forms   []form
	turn    int
	random  *rand.ChaCha8
	dossier [32]byte // in hex
	leaves  []merkle.Digest
}

// form is a canonical request with the places in it that change.
type form struct {
	raw     []byte
	entries [][]byte // the submissions, parts of raw
	places  []places // of each submission

	body                []byte // of the statement, a part of raw
	signed, sig         []byte
	rootSHA256, rootSM3 []byte
	first               int // step of the first submission, from 0
}

// places are parts of one submission, each in hex but the time.
type places struct {
	captured, dossier []byte
	random            [][]byte // nonce and digests
}

// NewMaker makes a maker of requests with so many records each, and checks that
// what it makes is what package evidence reads and k has signed.
//
// A request holds whole sessions, of which the last may be cut off; smaller
// requests than a session go on where the one before has ended.
func NewMaker(by Submitter, records int) (*Maker, error) {
	if records < 1 || records > evidence.MaxSubmissions {
		return nil, fmt.Errorf("a request has 1 to %d records, not %d", evidence.MaxSubmissions, records)
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails (crypto/rand)
	m := &Maker{by: by, random: rand.NewChaCha8(seed)}
	forms := 1
	if records < len(session) {
		forms = len(session)
	}
	for i := range forms {
		f, err := newForm(by, records, i*records%len(session))
		if err != nil {
			return nil, fmt.Errorf("making a request: %w", err)
		}
		m.forms = append(m.forms, *f)
	}
	for range m.forms {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("a made request is not valid: %w", err)
		}
	}
	return m, nil
}

// check makes a request and reads it as a node does.
func (m *Maker) check() error {
	raw, err := m.Next(time.Now())
	if err != nil {
		return err
	}
	req, err := evidence.ParseRequest(slices.Clone(raw))
	if err != nil {
		return err
	}
	for i, sub := range req.Submissions {
		if sub.Pair != m.Pair(i) {
			return fmt.Errorf("submission %d has another pair", i)
		}
	}
	return req.Statement.Signed.Verify(m.by.Chain, m.by.Signer.Public())
}

// Next makes the next request. It is valid until the one after it is made.
func (m *Maker) Next(now time.Time) ([]byte, error) {
	f := &m.forms[m.turn]
	m.turn = (m.turn + 1) % len(m.forms)
	at := now.UTC().AppendFormat(make([]byte, 0, len(canon.TimeLayout)), canon.TimeLayout)
	for i := range f.places {
		p := &f.places[i]
		if (f.first+i)%len(session) == 0 {
			m.fill(m.dossier[:])
		}
		copy(p.captured, at)
		copy(p.dossier, m.dossier[:])
		for _, place := range p.random {
			m.fill(place)
		}
	}
	m.leaves = merkle.LeafHashes(f.entries)
	root := merkle.Root(m.leaves)
	hex.Encode(f.rootSHA256, root.SHA256[:])
	hex.Encode(f.rootSM3, root.SM3[:])
	copy(f.signed, at)
	sig, err := m.by.Signer.Sign(evidence.SignedBytes(evidence.TypeStatement, m.by.Chain, f.body))
	if err != nil {
		return nil, err
	}
	hex.Encode(f.sig, sig)
	return f.raw, nil
}

// made is the form that Next has filled last.
func (m *Maker) made() *form { return &m.forms[(m.turn+len(m.forms)-1)%len(m.forms)] }

// Submission is one submission of the last request; it is valid as long.
func (m *Maker) Submission(i int) []byte { return m.made().entries[i] }

// Pair is the pair of one submission of the last request.
func (m *Maker) Pair(i int) merkle.Digest { return m.leaves[i] }

const hexDigits = "0123456789abcdef"

// pairsOfDigits are the two hex digits of every byte.
var pairsOfDigits = func() (out [256][2]byte) {
	for i := range out {
		out[i] = [2]byte{hexDigits[i>>4], hexDigits[i&15]}
	}
	return out
}()

// fill writes random hex digits, a multiple of 16.
func (m *Maker) fill(place []byte) {
	for len(place) >= 16 {
		v := m.random.Uint64()
		for i := 0; i < 16; i += 2 {
			d := pairsOfDigits[byte(v)]
			place[i], place[i+1] = d[0], d[1]
			v >>= 8
		}
		place = place[16:]
	}
}

// newForm has package evidence make a request of marks, and finds them in it.
func newForm(by Submitter, records, first int) (*form, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	subs := make([]*evidence.Submission, records)
	marks := make([]marked, records)
	for i := range subs {
		subs[i], marks[i] = markedSubmission(by, (first+i)%len(session), now)
	}
	req, err := evidence.NewRequest(by.Chain, subs, now, by.Signer)
	if err != nil {
		return nil, err
	}
	f := &form{raw: bytes.Clone(req.Raw), first: first}
	end := 0 // of what has been found, so that equal times are told apart
	find := func(mark []byte) ([]byte, error) {
		at := bytes.Index(f.raw[end:], mark)
		if at < 0 {
			return nil, errors.New("a mark is not found")
		}
		at += end
		end = at + len(mark)
		return f.raw[at:end:end], nil
	}
	st := req.Statement
	stamp := []byte(now.Format(canon.TimeLayout))
	for _, s := range []struct {
		mark  []byte
		place *[]byte
	}{
		{st.Signed.Body, &f.body},
		{[]byte(hex.EncodeToString(st.Signed.Sig[:])), &f.sig},
	} {
		if *s.place, err = find(s.mark); err != nil {
			return nil, err
		}
	}
	if err := f.findInBody(st, stamp); err != nil {
		return nil, err
	}
	for i := range req.Submissions {
		entry, err := find(req.Submissions[i].Bytes)
		if err != nil {
			return nil, err
		}
		p, err := marks[i].find(entry, stamp)
		if err != nil {
			return nil, err
		}
		f.entries, f.places = append(f.entries, entry), append(f.places, *p)
	}
	return f, nil
}

func (f *form) findInBody(st *evidence.Statement, stamp []byte) (err error) {
	if f.rootSHA256, err = within(f.body, []byte(hex.EncodeToString(st.Root.SHA256[:]))); err != nil {
		return err
	}
	if f.rootSM3, err = within(f.body, []byte(hex.EncodeToString(st.Root.SM3[:]))); err != nil {
		return err
	}
	f.signed, err = within(f.body, stamp)
	return err
}

// within finds the only place of a mark.
func within(b, mark []byte) ([]byte, error) {
	at := bytes.Index(b, mark)
	if at < 0 || bytes.Count(b, mark) != 1 {
		return nil, fmt.Errorf("a mark is there %d times", bytes.Count(b, mark))
	}
	return b[at : at+len(mark) : at+len(mark)], nil
}

// marked are the random values of a submission, in hex.
type marked struct {
	dossier string
	random  []string
}

func (m *marked) find(entry, stamp []byte) (*places, error) {
	p := &places{}
	var err error
	if p.captured, err = within(entry, stamp); err != nil {
		return nil, err
	}
	if p.dossier, err = within(entry, []byte(m.dossier)); err != nil {
		return nil, err
	}
	for _, mark := range m.random {
		place, err := within(entry, []byte(mark))
		if err != nil {
			return nil, err
		}
		p.random = append(p.random, place)
	}
	return p, nil
}

// markedSubmission makes one submission of a session; step counts from 0.
func markedSubmission(by Submitter, step int, at time.Time) (*evidence.Submission, marked) {
	var m marked
	var dossier [16]byte
	_, _ = crand.Read(dossier[:])
	m.dossier = hex.EncodeToString(dossier[:])
	s := &evidence.Submission{
		Submitter: by.Member, Key: by.Key, Kind: session[step], CapturedAt: at,
		Dossier: evidence.Dossier(m.dossier), Step: uint64(step) + 1,
		Source: evidence.Source{Environment: "test", Mechanism: "automatic", System: "vendor_platform"},
	}
	_, _ = crand.Read(s.Nonce[:])
	m.random = append(m.random, hex.EncodeToString(s.Nonce[:]))
	pair := func() *merkle.Digest {
		d := &merkle.Digest{}
		_, _ = crand.Read(d.SM3[:])
		_, _ = crand.Read(d.SHA256[:])
		m.random = append(m.random, hex.EncodeToString(d.SM3[:]), hex.EncodeToString(d.SHA256[:]))
		return d
	}
	switch s.Kind {
	case evidence.IdentityPerson:
		s.Claims, s.Method, s.Result = pair(), "biometric", "passed"
	case evidence.SigningIntent:
		s.Claims, s.Method, s.Result = pair(), "sms_code", "passed"
	case evidence.SigningSignature:
		s.Certificate, s.Claims, s.Signature = pair(), pair(), pair()
	default:
		size := uint64(73_448)
		s.Digest, s.Size = pair(), &size
	}
	return s, m
}

// digest is the SM3 half, in hex, of the content of one submission of the last
// request; "" where its kind has none.
func (m *Maker) digest(i int) string {
	f := m.made()
	switch session[(f.first+i)%len(session)] {
	case evidence.ContractOriginal, evidence.ContractFinal:
		return string(f.places[i].random[1])
	}
	return ""
}

func hash32(text string) (out [32]byte, err error) {
	if n, err := hex.Decode(out[:], []byte(text)); err != nil || n != len(out) {
		return out, fmt.Errorf("%q is no hash", text)
	}
	return out, nil
}
