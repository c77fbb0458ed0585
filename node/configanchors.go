package node

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// AnchorsConfig is the section [anchors].
type AnchorsConfig struct {
	Roots string `toml:"roots" comment:"锚定信任根文件：时间戳机构、见证人、Fabric 通道，由 qifeng anchor roots 生成；法院须自行持有并核对指纹 · File of anchor\nroots, made by qifeng anchor roots: only what verifies under it is stored. A court holds its own copy and compares the\nfingerprint. Needed as soon as there is an anchor. Default \"anchor-roots.json\"."`
}

// AnchorConfig is one table [anchor.NAME]. Fields that its kind does not know are
// refused, so that a misplaced one cannot be overlooked.
type AnchorConfig struct {
	Kind    string   `toml:"kind" comment:"种类 · Kind: rfc3161 (time-stamp authority), witness (C2SP witness) or fabric (Hyperledger Fabric). No default."`
	Every   Duration `toml:"every,omitempty" comment:"锚定间隔；期间只取最新的检查点 · Time between attempts, from 1s to 24h: what is sealed meanwhile is\nanchored together. Default \"1m0s\"."`
	Timeout Duration `toml:"timeout,omitempty" comment:"单次尝试的时限 · Time limit of one attempt, from 1s to 10m. Default \"30s\"."`

	URL          string `toml:"url,omitempty" comment:"rfc3161、witness：服务地址 · rfc3161 and witness: URL of the service, http or https. No default."`
	CA           string `toml:"ca,omitempty" comment:"rfc3161、witness：https 另外信任的 CA 证书 (PEM) · rfc3161 and witness: PEM file of CA certificates to trust\nbesides the system's, for https. Default \"\"."`
	User         string `toml:"user,omitempty" comment:"rfc3161：HTTP Basic 用户名 · rfc3161: user name for HTTP basic authentication. Default \"\"."`
	PasswordFile string `toml:"password_file,omitempty" comment:"rfc3161：口令文件，权限 0600 · rfc3161: file with the password, mode 0600. Default \"\"."`
	Hash         string `toml:"hash,omitempty" comment:"rfc3161：摘要算法，国密机构用 sm3 · rfc3161: digest that the authority takes, sha256 or sm3. Default \"sha256\"."`
	Roots        string `toml:"roots,omitempty" comment:"rfc3161：机构的根证书 (PEM)，由 qifeng anchor roots 读取，节点运行时不读 · rfc3161: PEM file of the authority's root\ncertificates, read by qifeng anchor roots and not by the running node. No default."`

	Key        string `toml:"key,omitempty" comment:"witness：见证人的 vkey；fabric：身份私钥 (PEM)，权限 0600 · witness: its vkey, a line such as NAME+HEX+BASE64;\nfabric: private key of the identity, PEM, mode 0600. No default."`
	Driver     string `toml:"driver,omitempty" comment:"fabric：gateway 用于 2.4 及以上，sdk 用于更早的网络 · fabric: gateway (Fabric 2.4 and later), or sdk for older networks.\nDefault \"gateway\"."`
	Endpoint   string `toml:"endpoint,omitempty" comment:"fabric：节点地址 host:port · fabric: address of the peer. No default."`
	TLSCA      string `toml:"tls_ca,omitempty" comment:"fabric：节点 TLS 的 CA 证书 (PEM) · fabric: CA certificate of the peer's TLS, PEM. No default."`
	TLSName    string `toml:"tls_name,omitempty" comment:"fabric：TLS 证书中的名称，默认取自地址 · fabric: name in the peer's TLS certificate, by default the address's. Default \"\"."`
	MSP        string `toml:"msp,omitempty" comment:"fabric：本组织的 MSP 编号 · fabric: MSP id of the own organisation. No default."`
	Cert       string `toml:"cert,omitempty" comment:"fabric：身份证书 (PEM) · fabric: certificate of the identity, PEM. No default."`
	Channel    string `toml:"channel,omitempty" comment:"fabric：通道 · fabric: channel. No default."`
	Chaincode  string `toml:"chaincode,omitempty" comment:"fabric：链码名称 · fabric: name of the chaincode. Default \"anchor\"."`
	SDKProgram string `toml:"sdk_program,omitempty" comment:"fabric，driver = \"sdk\"：驱动程序 · fabric with driver = \"sdk\": the driver program. No default."`
	SDKConfig  string `toml:"sdk_config,omitempty" comment:"fabric，driver = \"sdk\"：fabric-sdk-go 的配置文件 · fabric with driver = \"sdk\": its connection profile, YAML. No default."`
}

// WitnessConfig is the section [witness].
type WitnessConfig struct {
	Key  string `toml:"key" comment:"作为他人日志的见证人：专用 Ed25519 密钥，由 qifeng key witness 生成；空：不作见证 · This node as a witness of other logs:\nan Ed25519 key that serves nothing else, made by qifeng key witness, mode 0600. Empty: no witness. Default \"\"."`
	Logs string `toml:"logs" comment:"所见证的日志：每行一个 vkey · The logs that it cosigns: a file with one vkey a line. Default \"\"."`
}

// fieldsOf are the fields that each kind of anchor takes besides kind, every and
// timeout, and of them those that it needs.
var fieldsOf = map[proof.AnchorKind]struct{ takes, needs []string }{
	proof.AnchorRFC3161: {[]string{"url", "ca", "user", "password_file", "hash", "roots"}, []string{"url", "roots"}},
	proof.AnchorWitness: {[]string{"url", "ca", "key"}, []string{"url", "key"}},
	proof.AnchorFabric: {[]string{"driver", "endpoint", "tls_ca", "tls_name", "msp", "cert", "key", "channel", "chaincode", "sdk_program", "sdk_config"},
		[]string{"channel"}},
}

// anchorNames lists the anchors in an order that stays.
func (c *Config) anchorNames() []string { return slices.Sorted(maps.Keys(c.Anchor)) }

func (c *Config) validateAnchors() error {
	if len(c.Anchor) > maxAnchors {
		return fmt.Errorf("[anchor]: %d anchors, at most %d", len(c.Anchor), maxAnchors)
	}
	for _, name := range c.anchorNames() {
		if err := checkpoint.CheckMemberID(name); err != nil {
			return fmt.Errorf("[anchor.%s]: the name must be lower-case letters, digits and dashes: %w", name, err)
		}
		a := c.Anchor[name]
		if err := a.validate(); err != nil {
			return fmt.Errorf("[anchor.%s] %w", name, err)
		}
	}
	if len(c.Anchor) > 0 && c.Anchors.Roots == "" {
		return errors.New("[anchors] roots: must not be empty: nothing is stored that does not verify under the anchor roots")
	}
	if err := c.Witness.validate(&c.Keys); err != nil {
		return fmt.Errorf("[witness] %w", err)
	}
	return nil
}

func (c *AnchorConfig) validate() error {
	kind, ok := fieldsOf[proof.AnchorKind(c.Kind)]
	if !ok {
		return fmt.Errorf("kind: %q must be rfc3161, witness or fabric", c.Kind)
	}
	set := c.fields()
	for _, f := range set {
		if f.value != "" && !slices.Contains(kind.takes, f.name) {
			return fmt.Errorf("%s: is no field of kind %s; it takes %s", f.name, c.Kind, strings.Join(kind.takes, ", "))
		}
		if f.value == "" && slices.Contains(kind.needs, f.name) {
			return fmt.Errorf("%s: must be set for kind %s", f.name, c.Kind)
		}
	}
	if d := c.every(); d < time.Second || d > 24*time.Hour {
		return fmt.Errorf("every: %v is outside 1s to 24h", d)
	}
	if d := c.timeout(); d < time.Second || d > 10*time.Minute {
		return fmt.Errorf("timeout: %v is outside 1s to 10m", d)
	}
	switch proof.AnchorKind(c.Kind) {
	case proof.AnchorRFC3161:
		return c.validateTSA()
	case proof.AnchorWitness:
		return c.validateWitness()
	default:
		return c.validateFabric()
	}
}

func (c *AnchorConfig) validateTSA() error {
	if h := c.hash(); h != "sha256" && h != "sm3" {
		return fmt.Errorf("hash: %q must be sha256 or sm3", h)
	}
	if (c.User == "") != (c.PasswordFile == "") {
		return errors.New("user, password_file: one without the other: set both, or neither")
	}
	if err := checkService(c.URL); err != nil {
		return err
	}
	if u, err := url.Parse(c.URL); err == nil && c.User != "" && u.Scheme != "https" && !loopback(u.Hostname()) {
		return errors.New("url: a password is sent over https only, or to this machine")
	}
	return nil
}

func (c *AnchorConfig) validateWitness() error {
	if _, err := checkpoint.ParseWitness(c.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	return checkService(c.URL)
}

func (c *AnchorConfig) validateFabric() error {
	needs, idle := []string{"endpoint", "tls_ca", "msp", "cert", "key"}, []string{"sdk_program", "sdk_config"}
	switch c.driver() {
	case "gateway":
	case "sdk": // the profile has the addresses and their TLS
		needs, idle = []string{"sdk_program", "sdk_config", "cert", "key"}, []string{"endpoint", "tls_ca", "tls_name"}
	default:
		return fmt.Errorf("driver: %q must be gateway or sdk", c.Driver)
	}
	for _, f := range c.fields() {
		if f.value == "" && slices.Contains(needs, f.name) {
			return fmt.Errorf("%s: must be set for driver = %q", f.name, c.driver())
		}
		if f.value != "" && slices.Contains(idle, f.name) {
			return fmt.Errorf("%s: has no meaning with driver = %q", f.name, c.driver())
		}
	}
	if c.Endpoint != "" {
		if _, err := checkAddress(c.Endpoint); err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
	}
	return nil
}

// checkService checks the URL of an anchor's service.
func checkService(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return fmt.Errorf("url: %q is not an address such as https://tsa.example/ts", text)
	}
	if u.User != nil {
		return errors.New("url: holds a user name or a password: use user and password_file")
	}
	return nil
}

// namedField is a text field of an anchor by its name in the file.
type namedField struct{ name, value string }

// fields lists the text fields but kind.
func (c *AnchorConfig) fields() []namedField {
	return []namedField{
		{"url", c.URL}, {"ca", c.CA}, {"user", c.User}, {"password_file", c.PasswordFile}, {"hash", c.Hash}, {"roots", c.Roots},
		{"key", c.Key}, {"driver", c.Driver}, {"endpoint", c.Endpoint}, {"tls_ca", c.TLSCA}, {"tls_name", c.TLSName}, {"msp", c.MSP},
		{"cert", c.Cert}, {"channel", c.Channel}, {"chaincode", c.Chaincode}, {"sdk_program", c.SDKProgram}, {"sdk_config", c.SDKConfig},
	}
}

// files lists the files of an anchor that the running node reads, and which of
// them are secret.
func (c *AnchorConfig) files() (plain, secret []namedField) {
	plain = []namedField{{"ca", c.CA}, {"tls_ca", c.TLSCA}, {"cert", c.Cert}, {"sdk_program", c.SDKProgram}, {"sdk_config", c.SDKConfig}}
	secret = []namedField{{"password_file", c.PasswordFile}}
	if proof.AnchorKind(c.Kind) == proof.AnchorFabric {
		secret = append(secret, namedField{"key", c.Key})
	}
	unset := func(f namedField) bool { return f.value == "" }
	return slices.DeleteFunc(plain, unset), slices.DeleteFunc(secret, unset)
}

// The fields with a default: 0 and "" stand for it.
func (c *AnchorConfig) every() time.Duration { return orElse(time.Duration(c.Every), time.Minute) }
func (c *AnchorConfig) timeout() time.Duration {
	return orElse(time.Duration(c.Timeout), 30*time.Second)
}
func (c *AnchorConfig) hash() string      { return orElse(c.Hash, "sha256") }
func (c *AnchorConfig) driver() string    { return orElse(c.Driver, "gateway") }
func (c *AnchorConfig) chaincode() string { return orElse(c.Chaincode, "anchor") }

func orElse[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (c *WitnessConfig) validate(keys *KeysConfig) error {
	if (c.Key == "") != (c.Logs == "") {
		return errors.New("key, logs: one without the other: set both, or neither")
	}
	for _, f := range keys.files() {
		if c.Key != "" && filepath.Clean(c.Key) == filepath.Clean(f.path) {
			return fmt.Errorf("key: is the same file as [keys] %s: a witness key serves nothing else", f.name)
		}
	}
	return nil
}

// anchorExamples are what the generated file shows of each kind, commented out.
var anchorExamples = []struct {
	name string
	AnchorConfig
}{
	{"tsa", AnchorConfig{Kind: "rfc3161", Every: Duration(time.Minute), Timeout: Duration(30 * time.Second), URL: "https://tsa.example/ts",
		CA: "anchor/tsa-ca.pem", User: "qifeng", PasswordFile: "anchor/tsa-password", Hash: "sha256", Roots: "anchor/tsa-roots.pem"}},
	{"witness-a", AnchorConfig{Kind: "witness", URL: "https://witness.example", Key: "witness.example+HEX+BASE64"}},
	{"fabric", AnchorConfig{Kind: "fabric", Driver: "gateway", Endpoint: "peer0.org1.example:7051", TLSCA: "anchor/fabric-tls-ca.pem",
		TLSName: "peer0.org1.example", MSP: "Org1MSP", Cert: "anchor/fabric-cert.pem", Key: "anchor/fabric-key.pem",
		Channel: "evidence", Chaincode: "anchor"}},
}

const anchorsTail = `
# 锚定示例：去掉行首的 #，每个锚定一节，名称自定；见 docs/anchors.md。
# Anchors: one table each, under a name of your own. Examples; see docs/anchors.md.
`

// renderAnchors is the commented-out reference at the end of a generated file.
func renderAnchors() ([]byte, error) {
	var b strings.Builder
	b.WriteString(anchorsTail)
	for _, e := range anchorExamples {
		text, err := toml.Marshal(map[string]map[string]AnchorConfig{"anchor": {e.name: e.AnchorConfig}})
		if err != nil {
			return nil, fmt.Errorf("rendering the example of an anchor: %w", err)
		}
		b.WriteString("#\n")
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" && line != "[anchor]\n" {
				b.WriteString("# " + line)
			}
		}
	}
	return []byte(b.String()), nil
}
