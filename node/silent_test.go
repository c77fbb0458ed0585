package node

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/evidence"
	"qifeng/proof"
)

// person is what a claims file says of a person; nobody of that name lives.
var person = map[string]string{
	"姓名": "欧阳测试", "证件号码": "11010519491231002X", "手机号码": "13800138000", "邮箱": "ouyang.ceshi@example.com",
}

const token = "s3cr3t-bearer-t0ken"

// plantAndSubmit submits claims of a person and a contract whose name says who
// signs it, and asks the API for both in ways in which a careless caller would
// tell it more than it should know.
func plantAndSubmit(t *testing.T, n *testNet, vendor int) {
	dir := t.TempDir()
	claims, err := json.Marshal(person)
	if err != nil {
		t.Fatal(err)
	}
	claimsFile := writeFile(t, dir, person["姓名"]+"-"+person["证件号码"]+".json", string(claims))
	contract := writeFile(t, dir, "劳动合同-"+person["姓名"]+".pdf", "a contract with "+person["姓名"])
	home := string(n.home(vendor))
	n.command("submit", claimsFile, "--kind", "identity.person", "--method", "id_card", "--result", "passed", "--dossier", "new", "--step", "1", "--home", home, "--wait")
	n.command("submit", contract, "--home", home, "--wait")
	for _, v := range person {
		for _, path := range []string{"/v1/records/" + url.PathEscape(v), "/v1/records?dossier=" + url.QueryEscape(v), "/" + url.PathEscape(v),
			"/v1/records?" + url.QueryEscape(v), "/v1/keys?member=" + url.QueryEscape(v)} {
			status, body := get(t, n.url(vendor, path), "Authorization", "Bearer "+token, "Cookie", "session="+token, "X-Request-Id", url.QueryEscape(v))
			if status < 400 || strings.Contains(body, v) || strings.Contains(body, token) {
				t.Errorf("%s answers %d: %s", path, status, body)
			}
		}
	}
	proofs := glob(t, dir, "*.qifeng.json", 2)
	n.planted = append(n.planted, nonces(t, proofs)...)
	salted, err := os.ReadFile(glob(t, dir, "*.claims.json", 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	list, err := evidence.ParseClaims(salted)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		n.planted = append(n.planted, secret{"the salt of a claim", c.Salt[:]})
	}
}

// secret is something that no log, metric or error may show in any spelling.
type secret struct {
	what string
	raw  []byte
}

func glob(t *testing.T, dir, pattern string, want int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) != want {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

// nonces are those of proof files: they keep the siblings of a record private.
func nonces(t *testing.T, paths []string) (out []secret) {
	t.Helper()
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := proof.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		nonce := f.RecordOf().Submission.Nonce
		out = append(out, secret{"the nonce of a submission", nonce[:]})
	}
	return out
}

// spellings are the ways in which bytes end up in text by accident.
func (s secret) spellings() []string {
	x := hex.EncodeToString(s.raw)
	list := strings.Trim(fmt.Sprint(s.raw), "[]")
	return []string{x, strings.ToUpper(x), base64.StdEncoding.EncodeToString(s.raw), base64.RawURLEncoding.EncodeToString(s.raw),
		list, strings.ReplaceAll(list, " ", ",")}
}

// keySecrets reads every private key of the homes.
func keySecrets(t *testing.T, n *testNet) (out []secret) {
	t.Helper()
	for i := range n.state.Members {
		paths, err := filepath.Glob(n.home(i).path("keys/*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch filepath.Ext(path) {
			case ".pem":
				block, _ := pem.Decode(b)
				if block == nil {
					t.Fatalf("%s: no PEM", path)
				}
				out = append(out, secret{path, scalar(t, block.Bytes)})
				for line := range strings.Lines(string(b)) {
					if line = strings.TrimSpace(line); len(line) == 64 { // a whole line of its base64
						raw, err := base64.StdEncoding.DecodeString(line)
						if err != nil {
							t.Fatal(err)
						}
						out = append(out, secret{path, raw})
					}
				}
			case ".json":
				var f struct {
					PrivKey struct{ Value []byte } `json:"priv_key"`
				}
				if json.Unmarshal(b, &f) == nil && len(f.PrivKey.Value) > 0 {
					out = append(out, secret{path, f.PrivKey.Value}, secret{path, f.PrivKey.Value[:32]})
				}
			}
		}
	}
	return out
}

// scalar is the secret inside a PKCS #8 key: the seed of Ed25519 or the number
// of SM2.
func scalar(t *testing.T, der []byte) []byte {
	t.Helper()
	var k struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		t.Fatal(err)
	}
	var seed []byte
	if _, err := asn1.Unmarshal(k.Key, &seed); err == nil && len(seed) == 32 {
		return seed
	}
	var ec struct {
		Version int
		D       []byte
		Rest    asn1.RawValue `asn1:"optional,tag:0"`
		Public  asn1.RawValue `asn1:"optional,tag:1"`
	}
	if _, err := asn1.Unmarshal(k.Key, &ec); err != nil || len(ec.D) != 32 {
		t.Fatalf("a key of an unknown form: %v", err)
	}
	return ec.D
}

// checkSilent looks for everything secret and personal in the log of all four
// nodes at debug level and in their metrics; and that each line is JSON and
// every line of a request has its id.
func checkSilent(t *testing.T, n *testNet, _ families) {
	log := n.log.String()
	texts := map[string]string{"log": log}
	for i := range n.state.Members {
		_, texts["metrics of "+n.state.Members[i].ID] = get(t, n.url(i, "/metrics"))
	}
	for i := range n.state.Members {
		_, texts["status of "+n.state.Members[i].ID] = get(t, n.url(i, "/v1/status"))
	}
	if vendor := texts["status of vendor-a"]; !strings.Contains(vendor, "401") {
		t.Errorf("the anchor that is refused does not show: the test tests less than it says: %s", vendor)
	}
	texts["audit log"] = auditLogs(t, n)
	_, texts["metrics"] = get(t, "http://"+n.scrape+"/metrics")
	secrets := append(keySecrets(t, n), n.planted...)
	if len(secrets) < 4*10 {
		t.Fatalf("only %d secrets are known", len(secrets))
	}
	for where, text := range texts {
		for _, s := range secrets {
			for _, form := range s.spellings() {
				if strings.Contains(text, form) {
					t.Errorf("the %s shows %s", where, s.what)
				}
			}
		}
		for _, v := range append([]string{token, "劳动合同", "BEGIN PRIVATE KEY", anchorPassword, base64.StdEncoding.EncodeToString([]byte("user:" + anchorPassword))}, values(person)...) {
			for _, form := range []string{v, url.QueryEscape(v), url.PathEscape(v)} {
				if strings.Contains(text, form) {
					t.Errorf("the %s shows %q", where, form)
				}
			}
		}
	}
	requests := 0
	for line := range strings.Lines(log) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("no JSON: %s", line)
		}
		if l["time"] == nil || l["level"] == nil || l["msg"] == nil {
			t.Errorf("a line without time, level or message: %s", line)
		}
		if msg, _ := l["msg"].(string); strings.HasPrefix(msg, "request") {
			requests++
			if id, _ := l["request_id"].(string); len(id) != 16 {
				t.Errorf("a line of a request without its id: %s", line)
			}
		}
	}
	if requests < 50 {
		t.Errorf("only %d lines of requests", requests)
	}
}

// auditLogs are the look-ups of all nodes, which hold what was asked for where
// it was well formed and nothing else of a caller.
func auditLogs(t *testing.T, n *testNet) (out string) {
	t.Helper()
	for i := range n.state.Members {
		b, err := os.ReadFile(n.home(i).path(Default().Data.Dir + "/" + auditName))
		if err != nil {
			t.Fatal(err)
		}
		out += string(b)
	}
	return out
}

func values(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}
