package proof

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// The files of testdata/stamped-* were made with openssl and committed: a proof
// with an RSA time-stamp and the line of a witness, its policy and anchor roots.
var updateStamped = flag.Bool("update-stamped", false, "make testdata/stamped-* anew, with openssl")

const stampedConf = `[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = one
[one]
serial = serial
signer_cert = signer.pem
signer_key = signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ess_cert_id_alg = sha256
`

func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// stampWith has openssl be a time-stamp authority in a folder: it returns a token
// over the statement, and the authority's root.
func stampWith(t *testing.T, dir string, statement []byte) (token []byte, root []byte) {
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(stampedConf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "serial"), []byte("1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "note"), statement, 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, dir, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "36500", "-subj", "/CN=Test TSA root", "-config", "conf", "-extensions", "root")
	openssl(t, dir, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "signer.key", "-out", "signer.csr", "-subj", "/CN=Test TSA", "-config", "conf")
	openssl(t, dir, "x509", "-req", "-in", "signer.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-days", "36000", "-out", "signer.pem", "-extfile", "conf", "-extensions", "signer")
	openssl(t, dir, "ts", "-query", "-data", "note", "-sha256", "-cert", "-out", "query")
	openssl(t, dir, "ts", "-reply", "-queryfile", "query", "-config", "conf", "-section", "one", "-token_out", "-out", "token")
	block, _ := pem.Decode(must(os.ReadFile(filepath.Join(dir, "root.pem"))))
	return must(os.ReadFile(filepath.Join(dir, "token"))), block.Bytes
}

// lists are two revocation lists of the root: one in which the signer's
// certificate does not stand, one in which it does.
func lists(t *testing.T, dir string) (clean, revoked []byte) {
	block, _ := pem.Decode(must(os.ReadFile(filepath.Join(dir, "root.key"))))
	key := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(crypto.Signer)
	block, _ = pem.Decode(must(os.ReadFile(filepath.Join(dir, "root.pem"))))
	root := must(x509.ParseCertificate(block.Bytes))
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	clean = must(x509.CreateRevocationList(rand.Reader, l, root, key))
	l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: time.Now().Add(time.Hour), ReasonCode: 1}}
	return clean, must(x509.CreateRevocationList(rand.Reader, l, root, key))
}

func makeStamped(t *testing.T) {
	c := newConsortium(t)
	c.now = time.Now().UTC().Truncate(time.Second).Add(-20 * time.Second)
	o := newOutsider(t, "wit-a")
	f := c.one(2)
	a := c.later(f, 3, 18*time.Second, all)
	stamp := a
	dir := t.TempDir()
	token, root := stampWith(t, dir, a.Checkpoint)
	clean, revoked := lists(t, dir)
	stamp.Kind, stamp.Name, stamp.Receipt = AnchorRFC3161, "tsa-rsa", token
	if _, err := f.AddAnchors([]Anchor{stamp, c.witnessed(a, o, 19*time.Second)}); err != nil {
		t.Fatal(err)
	}
	roots := c.roots(o)
	roots.Timestamps = []timestamp.Authority{{Name: "tsa-rsa", Roots: [][]byte{root}}}
	for name, b := range map[string][]byte{"qifeng.json": must(f.Marshal()), "policy": must(c.policy.Marshal()), "roots.json": must(roots.Marshal()),
		"clean.crl": clean, "revoked.crl": revoked} {
		if err := os.WriteFile("testdata/stamped."+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stamped reads the committed files.
func stamped(t testing.TB) (raw []byte, p *checkpoint.Policy, roots *AnchorRoots) {
	t.Helper()
	return must(os.ReadFile("testdata/stamped.qifeng.json")),
		must(checkpoint.ParsePolicy(must(os.ReadFile("testdata/stamped.policy")))),
		must(ParseAnchorRoots(must(os.ReadFile("testdata/stamped.roots.json"))))
}

func TestStamped(t *testing.T) {
	if *updateStamped {
		makeStamped(t)
	}
	raw, p, roots := stamped(t)
	f := must(Parse(raw))
	r := Verify(f, p, contentOf("x"), Options{Second: true, Roots: roots, RootsDigest: merkle.Sum([]byte("x"))})
	wantAnchors(t, "stamped", r, Proved, StepProved, StepProved, StepProved)
	stamp := r.Anchors[0]
	if stamp.Kind != AnchorRFC3161 || stamp.Token == nil || stamp.Accuracy != 1500*time.Millisecond || stamp.Size != 8 || r.LedgerSize != 5 {
		t.Fatalf("the time-stamp says %+v", stamp)
	}
	if !r.NotLaterThan().Equal(stamp.Time.Add(1500*time.Millisecond)) || r.Bracket.Source != "rfc3161/tsa-rsa" || len(r.Bracket.Impossible) != 0 {
		t.Errorf("not later than %s by %s, stamped at %s", r.NotLaterThan(), r.Bracket.Source, stamp.Time)
	}
	en, zh := r.Text(English), r.Text(Chinese)
	for _, want := range []string{"legal time: a time-stamp shows only that the record existed", "CN=Test TSA", "revoked was not checked",
		"by the strongest source of time, rfc3161/tsa-rsa", "fingerprint of the anchor roots"} {
		if !strings.Contains(en, want) {
			t.Errorf("the report does not say %q:\n%s", want, en)
		}
	}
	for _, want := range []string{"时间戳只表明记录在时间戳机构所示的时间已存在", "锚定信任根指纹", "结论：上链后未经篡改\n"} {
		if !strings.Contains(zh, want) {
			t.Errorf("the report does not say %q:\n%s", want, zh)
		}
	}
	for _, a := range f.Anchors {
		if got, err := VerifyAnchor(&a, p, roots); err != nil || got.Detail == (Words{}) || got.Size != 8 {
			t.Errorf("%s by itself: %+v, %v", a.Name, got, err)
		}
	}

	// The token is of this note and of no other, by this root and no other.
	other := *f
	other.Anchors = []Anchor{f.Anchors[0]}
	other.Anchors[0].Checkpoint = f.Anchors[1].Checkpoint // the same with one line more
	r = Verify(&other, p, nil, Options{Roots: roots})
	wantAnchors(t, "another note", r, False, StepFailed, StepFailed)
	if got := r.Limits(); !strings.Contains(fmt.Sprint(got), "not those of a time-stamp authority") {
		t.Errorf("legal time after a false time-stamp: %v", got)
	}
	root := anotherRoot(t)
	r = Verify(f, p, nil, Options{Roots: &AnchorRoots{Chain: roots.Chain, Timestamps: []timestamp.Authority{{Name: "tsa-rsa", Roots: [][]byte{root}}}}})
	wantAnchors(t, "another root", r, False, StepFailed, StepFailed, StepNotPresent)
}

// withFabric adds the receipt of a channel in memory to the committed proof, and
// the channel to its roots.
func withFabric(t testing.TB, bft bool) (*File, *checkpoint.Policy, *AnchorRoots, *fabrictest.Channel) {
	raw, p, roots := stamped(t)
	f := must(Parse(raw))
	stamp := f.Anchors[0]
	state := must(noteState(stamp.Checkpoint))
	want := fabric.Statement{Origin: state.Origin, Size: state.Size, Root: state.Root, Note: merkle.Sum(stamp.Checkpoint)}
	channel := fabrictest.New(t, bft)
	receipt := channel.Good(t, stamp.Checkpoint, want).Marshal()
	if left, err := f.AddAnchors([]Anchor{{Kind: AnchorFabric, Name: "fab-a", Checkpoint: stamp.Checkpoint, Path: stamp.Path, Receipt: receipt}}); err != nil || len(left) != 0 {
		t.Fatalf("%d left, %v", len(left), err)
	}
	pinned := channel.Pinned()
	pinned.Name = "fab-a"
	roots.Fabric = []fabric.Channel{*pinned}
	return f, p, roots, channel
}

// TestThreeKinds: one proof with an anchor of each kind, through its files and back.
func TestThreeKinds(t *testing.T) {
	for _, bft := range []bool{false, true} {
		f, p, roots, channel := withFabric(t, bft)
		f = must(Parse(must(f.Marshal())))
		file := must(roots.Marshal())
		again := must(ParseAnchorRoots(file))
		if !bytes.Equal(must(again.Marshal()), file) || fmt.Sprint(again.Fabric) != fmt.Sprint(roots.Fabric) {
			t.Errorf("BFT %v: the roots are read otherwise than they were written", bft)
		}
		r := Verify(f, p, contentOf("x"), Options{Second: true, Roots: again})
		wantAnchors(t, "three kinds", r, Proved, StepProved, StepProved, StepProved, StepProved)
		fab := r.Anchors[0]
		if fab.Endorsed == nil || !fab.Time.IsZero() || fab.Endorsed.Block != 7 || r.Bracket.Source != "rfc3161/tsa-rsa" {
			t.Errorf("BFT %v: Fabric says %+v, the source of time is %s", bft, fab, r.Bracket.Source)
		}
		for _, want := range []string{"Fabric states no time", "Org1MSP", "that any time in a Fabric ledger is legal time"} {
			if !strings.Contains(r.Text(English), want) {
				t.Errorf("the report does not say %q:\n%s", want, r.Text(English))
			}
		}
		// By a certificate that was revoked: worth nothing, and the record is as true as before.
		revoked := must(ParseAnchorRoots(file))
		revoked.Fabric[0].Organisations[0].Revoked = [][]byte{{7}, channel.Peers[0].Cert.SerialNumber.Bytes()}
		revoked = must(ParseAnchorRoots(must(revoked.Marshal())))
		r = Verify(f, p, contentOf("x"), Options{Second: true, Roots: revoked})
		wantAnchors(t, "revoked", r, Proved, StepProved, StepNotPresent, StepProved, StepProved)
		if text := r.Text(English); !strings.Contains(text, "that its organisation revoked") {
			t.Errorf("the report does not tell of the revocation:\n%s", text)
		}
		// Of another channel, of another root: false. Beside a root that knows it not: nothing.
		other := fabrictest.New(t, bft).Pinned()
		other.Name = "fab-a"
		r = Verify(f, p, nil, Options{Roots: &AnchorRoots{Chain: roots.Chain, Fabric: []fabric.Channel{*other}}})
		wantAnchors(t, "another channel", r, False, StepFailed, StepFailed, StepNotPresent, StepNotPresent)
		moved := *f
		moved.Anchors = []Anchor{f.Anchors[0]}
		moved.Anchors[0].Checkpoint, moved.Anchors[0].Path = f.Checkpoint, nil
		wantAnchors(t, "receipt of another state", Verify(&moved, p, nil, Options{Roots: again}), False, StepFailed, StepFailed)
	}
}

// TestShown: a report shows no text that could pass for another one.
func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"CN=测试": "CN=测试", "a\x1b[31mb": "a?[31mb", "x\u202ey": "x?y", "中\u200b文": "中?文", "\xff": "\ufffd",
		strings.Repeat("é", 2000): strings.Repeat("é", 1024) + "…",
	} {
		if got := shown(in); got != want {
			t.Errorf("%q is shown as %.40q, want %.40q", in, got, want)
		}
	}
}

// TestRevokedStamp: a list in the token says that its certificate was good, or
// that it was not, and then the token tells no time and makes no record false.
func TestRevokedStamp(t *testing.T) {
	raw, p, roots := stamped(t)
	for _, tt := range []struct {
		list, says string
		want       Outcome
		source     string
	}{
		{"clean", "its certificate was not revoked", StepProved, "rfc3161/tsa-rsa"},
		{"revoked", "the time-stamp's certificate was revoked; it tells no time", StepNotPresent, "witness/wit-a"},
	} {
		f := must(Parse(raw))
		f.Anchors[0].Receipt = must(timestamp.AddLists(f.Anchors[0].Receipt, [][]byte{must(os.ReadFile("testdata/stamped." + tt.list + ".crl"))}))
		r := Verify(f, p, contentOf("x"), Options{Roots: roots})
		wantAnchors(t, tt.list, r, Proved, StepProved, tt.want, StepProved)
		if !strings.Contains(r.Text(English), tt.says) || r.Bracket.Source != tt.source {
			t.Errorf("%s: the report does not say %q, or the source is %s:\n%s", tt.list, tt.says, r.Bracket.Source, r.Text(English))
		}
		if legal := strings.Contains(r.Text(English), "a time-stamp shows only"); legal != (tt.want == StepProved) {
			t.Errorf("%s: the report speaks of a time-stamp: %v", tt.list, legal)
		}
		if _, err := VerifyAnchor(&f.Anchors[0], p, roots); (err == nil) != (tt.want == StepProved) {
			t.Errorf("%s, by itself: %v", tt.list, err)
		}
	}
}

// anotherRoot is a certificate of a key that signed nothing here.
func anotherRoot(t *testing.T) []byte {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test TSA root"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
}

// TestEveryFlippedByteOfAnchors: a changed file is unreadable or not proved, or
// its anchors say what they said before, or less.
func TestEveryFlippedByteOfAnchors(t *testing.T) {
	raw, p, roots := stamped(t)
	same := Verify(must(Parse(raw)), p, nil, Options{Roots: roots}).JSON()
	from, to := bytes.Index(raw, []byte(`"anchors"`)), bytes.Index(raw, []byte(`"batch"`))
	failed, silent := 0, 0
	for i := from; i < to; i += 3 {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		f, err := Parse(bad)
		if err != nil {
			continue
		}
		r := Verify(f, p, nil, Options{Roots: roots})
		step, _ := r.Step(StepAnchors)
		switch {
		case r.Result == False && step.Outcome == StepFailed:
			failed++
		case r.Result != Proved:
			t.Fatalf("byte %d (%q): %s, anchors %s", i, raw[max(0, i-20):i+20], r.Result, step.Outcome)
		case bytes.Equal(r.JSON(), same):
		default: // another name, or a seal less
			silent++
			for _, a := range r.Anchors {
				if a.Outcome == StepProved && !bytes.Contains(same, []byte(millis(a.Time))) {
					t.Fatalf("byte %d (%q): still proved, but states something else", i, raw[max(0, i-20):i+20])
				}
			}
		}
	}
	t.Logf("%d flips are false, %d say less", failed, silent)
	if failed < 1000 {
		t.Errorf("only %d flips are found false: the test tests nothing", failed)
	}
}

// TestAnchorsAreApart: what a file proved without its anchors it proves with them,
// and says in the same words.
func TestAnchorsAreApart(t *testing.T) {
	raw, p, roots := stamped(t)
	f := must(Parse(raw))
	with := Verify(f, p, contentOf("x"), Options{Second: true, Roots: roots})
	f.Anchors = nil
	without := Verify(f, p, contentOf("x"), Options{Second: true})
	for i, s := range without.Steps {
		if w := with.Steps[i]; s != w && s.Name != StepAnchors && s.Name != StepSecondOpinion {
			t.Errorf("%s is %v, with anchors %v", s.Name, s, w)
		}
	}
	if bytes.Contains(without.JSON(), []byte(`"anchors":`)) || bytes.Contains(without.JSON(), []byte(`"bracket":`)) || without.Bracket != nil {
		t.Errorf("a report without anchors speaks of them: %s", without.JSON())
	}
}

func FuzzParseAnchorFile(f *testing.F) {
	raw, _, _ := stamped(f)
	p := must(Parse(raw))
	f.Add(must((&AnchorFile{Chain: p.Chain, From: 5, Anchors: p.Anchors}).Marshal()))
	f.Add([]byte(`{"anchors":[],"chain":"a-00000000","from":1,"type":"qifeng-anchors","v":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAnchorFile(data)
		if err != nil {
			return
		}
		again, err := a.Marshal()
		if err != nil {
			return // longer on its lines than the bound
		}
		b, err := ParseAnchorFile(again)
		if err != nil || !bytes.Equal(must(b.Marshal()), again) {
			t.Fatalf("%q, written again, is read otherwise: %v", data, err)
		}
	})
}

func FuzzParseAnchorRoots(f *testing.F) {
	f.Add(must(os.ReadFile("testdata/stamped.roots.json")))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseAnchorRoots(data)
		if err != nil {
			return
		}
		again, err := r.Marshal()
		if err != nil {
			return // longer on its lines than the bound
		}
		if b, err := ParseAnchorRoots(again); err != nil || !bytes.Equal(must(b.Marshal()), again) {
			t.Fatalf("%q, written again, is read otherwise: %v", data, err)
		}
	})
}

// FuzzVerifyAnchors: whatever is made of the file, no anchor is proved to say what
// nobody said.
func FuzzVerifyAnchors(f *testing.F) {
	raw, p, roots := stamped(f)
	said := map[string]bool{}
	word := func(a AnchorReport) string { return fmt.Sprint(a.Kind, a.Name, a.Size, a.Time) }
	for _, a := range Verify(must(Parse(raw)), p, nil, Options{Roots: roots}).Anchors {
		said[word(a)] = true
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		r := Verify(file, p, nil, Options{Roots: roots})
		for _, a := range r.Anchors {
			if a.Outcome == StepProved && !said[word(a)] {
				t.Fatalf("%s is proved to say what it did not: %+v in %q", a.ID(), a, data)
			}
		}
		if canon.IsCanonical(r.JSON()) != nil || r.Text(Chinese) == "" {
			t.Fatal("the report cannot be rendered")
		}
	})
}

// BenchmarkVerifyAnchors is a court's verification of a proof with three anchors.
func BenchmarkVerifyAnchors(b *testing.B) {
	raft, p, roots, _ := withFabric(b, false)
	bft, _, bftRoots, _ := withFabric(b, true)
	for _, bb := range []struct {
		name  string
		f     *File
		roots *AnchorRoots
	}{
		{"raft", raft, roots},
		{"bft", bft, bftRoots},
	} {
		raw := must(bb.f.Marshal())
		for _, second := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/second=%v", bb.name, second), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f := must(Parse(raw))
					if r := Verify(f, p, contentOf("x"), Options{Second: second, Roots: bb.roots}); r.Result != Proved {
						b.Fatal(r.Text(English))
					}
				}
				b.ReportMetric(float64(len(raw)), "file-bytes")
			})
		}
	}
}

// TestReceiptOption: a caller that knows a receipt gets the same report without its
// being verified again, and what is false stays so.
func TestReceiptOption(t *testing.T) {
	raw, p, roots := stamped(t)
	kept := map[string]AnchorReport{}
	verified := 0
	keep := func(a *Anchor, verify func() (AnchorReport, error)) (AnchorReport, error) {
		key := string(a.Kind) + a.Name + string(a.Receipt)
		if r, ok := kept[key]; ok {
			return r, nil
		}
		verified++
		r, err := verify()
		if err == nil {
			kept[key] = r
		}
		return r, err
	}
	want := string(Verify(must(Parse(raw)), p, nil, Options{Roots: roots}).JSON())
	for range 2 {
		if got := string(Verify(must(Parse(raw)), p, nil, Options{Roots: roots, Receipt: keep}).JSON()); got != want {
			t.Errorf("with receipts that are known:\n%s\nwant\n%s", got, want)
		}
	}
	if verified != 2 {
		t.Errorf("two receipts were verified %d times", verified)
	}
	f := must(Parse(raw))
	f.Anchors[0].Receipt[len(f.Anchors[0].Receipt)/2] ^= 1
	if r := Verify(f, p, nil, Options{Roots: roots, Receipt: keep}); r.Result != False {
		t.Errorf("a changed receipt is %s", r.Result)
	}
}
