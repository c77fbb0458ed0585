package vectors

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/proof/timestamp"
)

// stamper is a time-stamp authority made of openssl, in a folder of its own.
type stamper struct {
	t   *testing.T
	dir string
	timestamp.Authority
}

const stamperConf = `[req]
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
accuracy = ACCURACY
clock_precision_digits = 3
ess_cert_id_alg = sha256
`

// newStamper makes an authority whose keys are of an openssl algorithm, and whose
// tokens state an accuracy ("secs:1"), or none where that is empty.
func newStamper(t *testing.T, name, algorithm, accuracy string) *stamper {
	s := &stamper{t: t, dir: t.TempDir(), Authority: timestamp.Authority{Name: name}}
	conf := strings.Replace(stamperConf, "ACCURACY", accuracy, 1)
	if accuracy == "" {
		conf = strings.Replace(stamperConf, "accuracy = ACCURACY\n", "", 1)
	}
	s.write("conf", []byte(conf))
	s.write("serial", []byte("1000\n"))
	key := strings.Fields(algorithm)
	s.openssl(append([]string{"req", "-x509", "-newkey"}, append(key, "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "36500",
		"-subj", "/CN=Test TSA root", "-config", "conf", "-extensions", "root")...)...)
	s.openssl(append([]string{"req", "-newkey"}, append(key, "-nodes", "-keyout", "signer.key", "-out", "signer.csr",
		"-subj", "/CN=Test TSA "+name, "-config", "conf")...)...)
	s.openssl("x509", "-req", "-in", "signer.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-days", "36000",
		"-out", "signer.pem", "-extfile", "conf", "-extensions", "signer")
	s.Roots = [][]byte{s.pem("root.pem")}
	return s
}

func (s *stamper) write(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stamper) pem(name string) []byte {
	block, _ := pem.Decode(must(os.ReadFile(filepath.Join(s.dir, name))))
	return block.Bytes
}

func (s *stamper) openssl(args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "openssl", args...)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// stamp returns a token over a note.
func (s *stamper) stamp(note []byte) []byte {
	s.write("note", note)
	s.openssl("ts", "-query", "-data", "note", "-sha256", "-cert", "-out", "query")
	s.openssl("ts", "-reply", "-queryfile", "query", "-config", "conf", "-section", "one", "-token_out", "-out", "token")
	return must(os.ReadFile(filepath.Join(s.dir, "token")))
}

// list is a revocation list of the root, with or without the signer in it.
func (s *stamper) list(revoked bool) []byte {
	key := must(x509.ParsePKCS8PrivateKey(s.pem("root.key"))).(crypto.Signer)
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	if revoked {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: time.Now().Add(time.Hour), ReasonCode: 1}}
	}
	return must(x509.CreateRevocationList(rand.Reader, l, must(x509.ParseCertificate(s.pem("root.pem"))), key))
}
