package tsa

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// opensslConfig is the authority's, for `openssl ts -reply`.
const opensslConfig = `[tsa]
default_tsa = config
[config]
serial = %[1]s/serial
signer_cert = %[1]s/signer.pem
signer_key = %[1]s/signer.key
certs = %[1]s/chain.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = millisecs:500
clock_precision_digits = 3
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`

func (a *Authority) prepareOpenssl() error {
	key, err := x509.MarshalPKCS8PrivateKey(a.Chain.Signer.Key)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"tsa.cnf":    fmt.Appendf(nil, opensslConfig, a.dir),
		"serial":     []byte("01\n"),
		"signer.pem": a.Chain.Signer.PEM(),
		"signer.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"chain.pem":  a.Chain.Intermediate.PEM(),
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// openssl has `openssl ts` answer a request.
func (a *Authority) openssl(r *Request) ([]byte, error) {
	raw, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	query, reply := filepath.Join(a.dir, "query"), filepath.Join(a.dir, "reply")
	if err := os.WriteFile(query, raw, 0o600); err != nil {
		return nil, err
	}
	var said bytes.Buffer
	c := exec.Command("openssl", "ts", "-reply", "-config", filepath.Join(a.dir, "tsa.cnf"), "-queryfile", query, "-out", reply)
	c.Stderr = &said
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("openssl ts: %w: %s", err, said.Bytes())
	}
	return os.ReadFile(reply)
}
