package vectors

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"qifeng/proof"
	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

// stampTrial is one token, honest but for what is changed.
type stampTrial struct {
	name  string
	shape func(*tsa.Shape)
	token func(*tsa.Chain, *tsa.Spec)
	roots func(*tsa.Chain) [][]byte // pinned; by default the root
}

// TestSecondVerifierStamps compares the two verifiers on tokens that no vector
// holds, true and false ones: what openssl does not look at, the second verifier
// must look at itself.
func TestSecondVerifierStamps(t *testing.T) {
	t.Parallel()
	run, dir := python(t), t.TempDir()
	m := &anchorMaker{t: t, w: newWorld("anchors"), kept: map[[32]byte]string{}}
	s := base()
	m.y = m.w.tell(&s)
	later := m.later(5, 10*time.Second)
	file := func(name string, b []byte) string {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var cases []anchorCase
	var inputs []anchorInput
	var algs []tsa.Alg
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, alg := range []tsa.Alg{tsa.RSA, tsa.ECDSA, tsa.SM2} {
		for _, trial := range stampTrials(now) {
			if strings.HasPrefix(trial.name, "PSS") && alg != tsa.RSA || trial.name == "SHA-384" && alg == tsa.SM2 {
				continue
			}
			in := m.stamped(later, &trial, alg, now)
			n := len(cases)
			roots := file(fmt.Sprintf("%d.roots", n), in.roots)
			cases = append(cases, anchorCase{Name: string(alg) + "/" + trial.name, Roots: &roots,
				Proof: file(fmt.Sprintf("%d.proof", n), in.proof), Policy: file("policy", in.policy)})
			inputs, algs = append(inputs, in), append(algs, alg)
		}
	}
	file("anchors.json", must(json.Marshal(cases)))
	cmd := exec.CommandContext(t.Context(), run, verifier2, "--vectors", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the second verifier: %v", err)
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil || len(a.Anchors) != len(cases) {
		t.Fatalf("%d answers to %d, %v", len(a.Anchors), len(cases), err)
	}
	outcomesOf := map[string]int{}
	for i, c := range cases {
		r, err := inputs[i].judge()
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		first := r.Anchors[0]
		outcomesOf[string(first.Outcome)]++
		exit, want := r.ExitCode(), r.JSON()
		if algs[i] == tsa.SM2 {
			// It does not verify SM2: it may say less, and "failed" only where the first does.
			if second := secondOutcome(t, a.Anchors[i].Report); second != string(proof.StepNotPresent) && (second != string(proof.StepFailed) || first.Outcome != proof.StepFailed) {
				t.Errorf("%s: the second verifier says %q, the first %q: %s", c.Name, second, first.Outcome, a.Anchors[i].Report)
			}
			continue
		}
		if !same(t, c.Name, a.Anchors[i], exit, want) {
			t.Logf("%s: the first says: %s", c.Name, first.Detail.EN)
		}
	}
	t.Logf("the first verifier: %v", outcomesOf)
}

func secondOutcome(t *testing.T, report []byte) string {
	t.Helper()
	var m struct {
		Anchors []struct{ Outcome string }
	}
	if err := json.Unmarshal(report, &m); err != nil || len(m.Anchors) != 1 {
		t.Fatalf("%v: %s", err, report)
	}
	return m.Anchors[0].Outcome
}

// stamped is a proof with one time-stamp, over the checkpoint of a.
func (m *anchorMaker) stamped(a proof.Anchor, trial *stampTrial, alg tsa.Alg, now time.Time) anchorInput {
	shape := tsa.Shape{Alg: alg, Points: "http://ca.example/", NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0)}
	if trial.shape != nil {
		trial.shape(&shape)
	}
	chain := must(tsa.NewChain(shape))
	a.Kind, a.Name = proof.AnchorRFC3161, "tsa"
	spec := tsa.Spec{Signer: chain.Signer, Time: now, Certificates: [][]byte{chain.Signer.Certificate.Raw, chain.Intermediate.Certificate.Raw}}
	if trial.token != nil {
		trial.token(chain, &spec)
	}
	if spec.Imprint == nil {
		name := spec.ImprintOf
		if name == "" {
			name = spec.Digest
		}
		if name == "" && alg == tsa.SM2 {
			name = "SM3"
		} else if name == "" {
			name = "SHA256"
		}
		spec.Imprint = tsa.Sum(name, a.Checkpoint)
	}
	a.Receipt = must(spec.Token())
	pinned := [][]byte{chain.Root.Certificate.Raw}
	if trial.roots != nil {
		pinned = trial.roots(chain)
	}
	roots := &proof.AnchorRoots{Chain: m.w.chain, Timestamps: []timestamp.Authority{{Name: "tsa", Roots: pinned}}}
	return anchorInput{proof: m.file(a), policy: m.policy(), roots: must(roots.Marshal())}
}

func stampTrials(now time.Time) []stampTrial {
	other := must(tsa.NewChain(tsa.Shape{Alg: tsa.ECDSA}))
	token := func(name string, change func(*tsa.Chain, *tsa.Spec)) stampTrial {
		return stampTrial{name: name, token: change}
	}
	spec := func(name string, change func(*tsa.Spec)) stampTrial {
		return token(name, func(_ *tsa.Chain, s *tsa.Spec) { change(s) })
	}
	signer := func(name string, change func(*smx509.Certificate)) stampTrial {
		return stampTrial{name: "signer: " + name, shape: func(s *tsa.Shape) { s.Signer = change }}
	}
	middle := func(name string, change func(*smx509.Certificate)) stampTrial {
		return stampTrial{name: "intermediate: " + name, shape: func(s *tsa.Shape) { s.Intermediate = change }}
	}
	servers := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	stamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 7}, Critical: true, Value: []byte{5, 0}}
	out := []stampTrial{
		{name: "usual"},
		spec("PSS", func(s *tsa.Spec) { s.PSS = true }),
		spec("PSS with SHA-512", func(s *tsa.Spec) { s.PSS, s.Digest = true, "SHA512" }),
		spec("SHA-384", func(s *tsa.Spec) { s.Digest = "SHA384" }),
		spec("certificate by SHA-1", func(s *tsa.Spec) { s.ESS = "v1" }),
		spec("certificate by both", func(s *tsa.Spec) { s.ESS = "both" }),
		spec("certificate with its issuer", func(s *tsa.Spec) { s.ESS = "issuer" }),
		spec("signer by key", func(s *tsa.Spec) { s.KeyID = true }),
		spec("unsigned attribute", func(s *tsa.Spec) { s.Unsigned = true }),
		spec("no name", func(s *tsa.Spec) { s.NoName = true }),
		spec("imprint SHA-512", func(s *tsa.Spec) { s.ImprintOf = "SHA512" }),
		spec("imprint SM3", func(s *tsa.Spec) { s.ImprintOf = "SM3" }),
		spec("no accuracy", func(s *tsa.Spec) { s.NoAccuracy = true }),
		spec("accuracy of microseconds", func(s *tsa.Spec) { s.Accuracy = time.Second + 2*time.Microsecond }),
		spec("accuracy of an hour", func(s *tsa.Spec) { s.Accuracy = time.Hour }),
		spec("accuracy of two hours", func(s *tsa.Spec) { s.Accuracy = 2 * time.Hour }),
		spec("time of nanoseconds", func(s *tsa.Spec) { s.TimeText = now.Format("20060102150405") + ".123456789Z" }),
		spec("time without seconds", func(s *tsa.Spec) { s.TimeText = now.Format("200601021504") + "Z" }),
		spec("time with an offset", func(s *tsa.Spec) { s.TimeText = now.Format("20060102150405") + "+0000" }),
		spec("time with zeros at its end", func(s *tsa.Spec) { s.TimeText = now.Format("20060102150405") + ".500Z" }),
		token("root inside too", func(c *tsa.Chain, s *tsa.Spec) { s.Certificates = append(s.Certificates, c.Root.Certificate.Raw) }),
		{name: "the authority itself is pinned", token: func(_ *tsa.Chain, s *tsa.Spec) { s.NoSigner = true },
			roots: func(c *tsa.Chain) [][]byte { return [][]byte{c.Signer.Certificate.Raw} }},
		{name: "the intermediate is pinned", roots: func(c *tsa.Chain) [][]byte { return [][]byte{c.Intermediate.Certificate.Raw} }},

		spec("another statement", func(s *tsa.Spec) { s.Imprint = make([]byte, 32) }),
		spec("PSS, another statement", func(s *tsa.Spec) { s.PSS, s.Imprint = true, make([]byte, 32) }),
		spec("signer by key, another statement", func(s *tsa.Spec) { s.KeyID, s.Imprint = true, make([]byte, 32) }),
		token("PSS, signed with another key", func(c *tsa.Chain, s *tsa.Spec) {
			s.PSS, s.Signer = true, &tsa.Entity{Certificate: c.Signer.Certificate, Key: c.Intermediate.Key}
		}),
		spec("imprint SHA-1", func(s *tsa.Spec) { s.ImprintOf = "SHA1" }),
		spec("SHA-1", func(s *tsa.Spec) { s.Digest, s.ImprintOf = "SHA1", "SHA256" }),
		spec("content is data", func(s *tsa.Spec) { s.EContentType = tsa.OIDData }),
		spec("signed content type is data", func(s *tsa.Spec) { s.SignedType = tsa.OIDData }),
		spec("SignedData of version 1", func(s *tsa.Spec) { s.Version = 1 }),
		spec("content type of GM/T 0010", func(s *tsa.Spec) { s.ContentType = tsa.OIDSMSignedData }),
		spec("two signers", func(s *tsa.Spec) { s.Twice = true }),
		spec("no signing certificate", func(s *tsa.Spec) { s.ESS = "none" }),
		spec("another signing certificate", func(s *tsa.Spec) { s.ESS = "other" }),
		spec("signing certificate of another issuer", func(s *tsa.Spec) { s.ESS = "wrong issuer" }),
		spec("signer of version 2", func(s *tsa.Spec) { s.InfosVersion = 2 }),
		spec("another digest in front", func(s *tsa.Spec) { s.Digests = "SHA512" }),
		spec("an attribute twice", func(s *tsa.Spec) { s.Repeat = true }),
		spec("wrong message digest", func(s *tsa.Spec) { s.WrongDigest = true }),
		spec("TSTInfo of version 2", func(s *tsa.Spec) { s.InfoVersion = 2 }),
		spec("critical extension", func(s *tsa.Spec) { s.Critical = true }),
		spec("serial number of 201 bits", func(s *tsa.Spec) { s.Serial = new(big.Int).Lsh(big.NewInt(1), 200) }),
		spec("no certificates", func(s *tsa.Spec) { s.NoSigner = true }),
		spec("no intermediate", func(s *tsa.Spec) { s.Certificates = s.Certificates[:1] }),
		spec("nine certificates", func(s *tsa.Spec) { s.Certificates = slices.Repeat(s.Certificates[:1], 9) }),
		spec("one certificate twice", func(s *tsa.Spec) { s.Certificates = append(s.Certificates, s.Certificates[0]) }),
		spec("among the certificates something else", func(s *tsa.Spec) { s.Certificates = append(s.Certificates, []byte{0xa1, 0}) }),
		spec("among the certificates none", func(s *tsa.Spec) { s.Certificates = append(s.Certificates, []byte{0x30, 0}) }),
		token("name of another", func(c *tsa.Chain, s *tsa.Spec) { s.Name = c.Root.Certificate.RawSubject }),
		token("PSS, name of another", func(c *tsa.Chain, s *tsa.Spec) { s.PSS, s.Name = true, c.Root.Certificate.RawSubject }),
		token("signer by key, name of another", func(c *tsa.Chain, s *tsa.Spec) { s.KeyID, s.Name = true, c.Root.Certificate.RawSubject }),
		token("signed with another key", func(c *tsa.Chain, s *tsa.Spec) {
			s.Signer = &tsa.Entity{Certificate: c.Signer.Certificate, Key: c.Intermediate.Key}
		}),
		token("signed by the CA", func(c *tsa.Chain, s *tsa.Spec) { s.Signer = c.Intermediate }),
		spec("before the certificate", func(s *tsa.Spec) { s.Time = now.Add(-2 * time.Hour) }),
		spec("after the certificate", func(s *tsa.Spec) { s.Time = now.AddDate(11, 0, 0) }),
		spec("another's chain inside", func(s *tsa.Spec) {
			s.Signer = other.Signer
			for _, e := range []*tsa.Entity{other.Signer, other.Intermediate, other.Root} {
				s.Certificates = append(s.Certificates, e.Certificate.Raw)
			}
		}),
		{name: "another's root is pinned", roots: func(*tsa.Chain) [][]byte { return [][]byte{other.Root.Certificate.Raw} }},

		signer("usage not critical", func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(false) }),
		signer("two usages", func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(true, stamping, servers) }),
		signer("another usage", func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(true, servers) }),
		signer("no usage", func(c *smx509.Certificate) { c.ExtraExtensions = nil }),
		signer("a key for encipherment", func(c *smx509.Certificate) { c.KeyUsage |= smx509.KeyUsageKeyEncipherment }),
		signer("no key usage", func(c *smx509.Certificate) { c.KeyUsage = 0 }),
		signer("a CA", func(c *smx509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }),
		signer("an unknown critical extension", func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }),
		middle("no CA", func(c *smx509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }),
		middle("may not sign certificates", func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageCRLSign }),
		middle("for servers", func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, tsa.Usage(false, servers)) }),
		middle("for time-stamping", func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, tsa.Usage(false, stamping)) }),
		middle("an unknown critical extension", func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }),
		middle("expired", func(c *smx509.Certificate) { c.NotAfter = now.Add(-time.Minute) }),
	}
	return append(out, listTrials(now)...)
}

// listTrials are tokens with revocation lists.
func listTrials(now time.Time) (out []stampTrial) {
	point := func(value string) func(*smx509.RevocationList) {
		return func(l *smx509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte(value)}}
		}
	}
	type entry struct {
		since  time.Duration
		reason int
		more   []pkix.Extension
	}
	invalid := func(since time.Duration) []pkix.Extension {
		value := must(asn1.MarshalWithParams(now.Add(since).Truncate(time.Second), "generalized"))
		return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 24}, Value: value}}
	}
	stranger := must(tsa.NewChain(tsa.Shape{Alg: tsa.ECDSA}))
	for _, l := range []struct {
		name    string
		entries []entry
		change  func(*smx509.RevocationList)
		by      func(*tsa.Chain) *tsa.Entity
		from    time.Duration
	}{
		{name: "empty"},
		{name: "run out", from: -48 * time.Hour},
		{name: "of later", from: 24 * time.Hour},
		{name: "revoked before", entries: []entry{{-time.Hour, 4, nil}}},
		{name: "revoked before, run out", entries: []entry{{-time.Hour, 4, nil}}, from: -48 * time.Hour},
		{name: "revoked later, superseded", entries: []entry{{time.Hour, 4, nil}}},
		{name: "revoked later, unspecified", entries: []entry{{time.Hour, 0, nil}}},
		{name: "revoked later, key compromise", entries: []entry{{time.Hour, 1, nil}}},
		{name: "revoked later, on hold", entries: []entry{{time.Hour, 6, nil}}},
		{name: "revoked later, no reason", entries: []entry{{time.Hour, -1, nil}}},
		{name: "revoked later, doubtful since before", entries: []entry{{time.Hour, 4, invalid(-time.Hour)}}},
		{name: "revoked later, doubtful since later", entries: []entry{{time.Hour, 4, invalid(time.Minute)}}},
		{name: "an entry with an unknown critical extension", entries: []entry{{time.Hour, 4, []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{5, 0}}}}}},
		{name: "of the root", by: func(c *tsa.Chain) *tsa.Entity { return c.Root }},
		{name: "of another CA of another name", by: func(*tsa.Chain) *tsa.Entity { return stranger.Intermediate }},
		{name: "in the CA's name", by: func(c *tsa.Chain) *tsa.Entity {
			return &tsa.Entity{Certificate: c.Intermediate.Certificate, Key: c.Root.Key}
		}},
		{name: "delta", change: func(l *smx509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}},
		{name: "of users alone", change: point("\x30\x03\x81\x01\xff")},
		{name: "of CAs alone", change: point("\x30\x03\x82\x01\xff")},
		{name: "of some reasons", change: point("\x30\x04\x83\x02\x06\x40")},
		{name: "indirect", change: point("\x30\x03\x84\x01\xff")},
	} {
		out = append(out, stampTrial{name: "list: " + l.name, token: func(c *tsa.Chain, s *tsa.Spec) {
			by := c.Intermediate
			if l.by != nil {
				by = l.by(c)
			}
			var revoked []tsa.Revoked
			for _, e := range l.entries {
				revoked = append(revoked, tsa.Revoked{Serial: c.Signer.Certificate.SerialNumber, Time: now.Add(e.since), Reason: e.reason, Extensions: e.more})
			}
			s.Lists = [][]byte{must(by.List(now.Add(l.from-12*time.Hour), now.Add(l.from+12*time.Hour), revoked, l.change))}
		}})
	}
	return append(out,
		stampTrial{name: "list: an empty sequence", token: func(_ *tsa.Chain, s *tsa.Spec) { s.Lists = [][]byte{{0x30, 0}} }},
		stampTrial{name: "list: none", token: func(_ *tsa.Chain, s *tsa.Spec) { s.Lists = [][]byte{{0xa1, 0}} }},
		stampTrial{name: "list: the CA is revoked", token: func(c *tsa.Chain, s *tsa.Spec) {
			s.Lists = [][]byte{must(c.Root.List(now.Add(-time.Hour), now.Add(time.Hour), []tsa.Revoked{{Serial: c.Intermediate.Certificate.SerialNumber, Time: now.Add(-time.Hour), Reason: 4}}, nil))}
		}})
}
