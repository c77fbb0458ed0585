package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"qifeng/api/httpsig"
	"qifeng/proof/checkpoint"
)

// Config is the file qifeng.toml of a home. The comment tags are what the
// generated file says of each field, and the only place where it is said; a
// test holds the stated defaults against Default. Paths are relative to the
// home. Secrets are never in the file, only the paths of their files.
type Config struct {
	Member  MemberConfig  `toml:"member" comment:"成员 · The member whose node this is."`
	API     APIConfig     `toml:"api" comment:"HTTP 接口 · The HTTP API."`
	Peer    PeerConfig    `toml:"peer" comment:"成员间网络 · The network between the members' nodes."`
	Chain   ChainConfig   `toml:"chain" comment:"共识 · Consensus. Every member should use the same values."`
	Keys    KeysConfig    `toml:"keys" comment:"密钥文件 · Key files: paths only, mode 0600, each key for one purpose.\nNever put them and the guard back by hand: use qifeng restore."`
	Limits  LimitsConfig  `toml:"limits" comment:"限额 · What callers may ask of this node; see docs/operations.md. A rate of 0 is no limit."`
	Data    DataConfig    `toml:"data" comment:"数据 · Where the node keeps its state."`
	Anchors AnchorsConfig `toml:"anchors" comment:"锚定：联盟之外的见证；见 docs/anchors.md · Anchors: what witnesses the checkpoints outside the consortium."`
	Witness WitnessConfig `toml:"witness" comment:"为其他日志作 C2SP 见证 · This node as a C2SP witness of other logs."`
	Metrics MetricsConfig `toml:"metrics" comment:"运行指标 · Metrics for Prometheus; see docs/metrics.md."`
	Log     LogConfig     `toml:"log" comment:"日志 · The log: JSON lines on standard error, without secrets or personal data."`

	Anchor map[string]AnchorConfig `toml:"anchor,omitempty"` // by name
}

// MemberConfig names the member.
type MemberConfig struct {
	ID string `toml:"id" comment:"成员编号，与创世文件一致 · Id of the member, as in the genesis. No default."`
}

// APIConfig is the section [api].
type APIConfig struct {
	Listen      string   `toml:"listen" comment:"监听地址；非本机地址须有 TLS 或 allow_remote · Address to listen on, host:port. One that is not loopback\nneeds tls_cert and tls_key, or allow_remote. Default \"127.0.0.1:8100\"."`
	Origins     []string `toml:"origins" comment:"客户端所用的本节点地址，不带路径；签名的读取请求须写明其一，各节点不可共用 · Addresses by which clients reach this node, without a path,\nas \"https://court.example\": a signed read names one of them; no two nodes share one. Empty: the listen address,\nlocalhost too if it is loopback, and that of the member's card. Default []."`
	TLSCert     string   `toml:"tls_cert" comment:"TLS 证书链 (PEM)，叶证书在前；换文件后一两秒内自动生效 · TLS certificate chain, PEM, leaf first; empty for plain HTTP.\nReplaced files are taken up within seconds, without a restart; a bad pair is refused, the old stays. Default \"\"."`
	TLSKey      string   `toml:"tls_key" comment:"TLS 私钥 (PEM)，权限 0600 · Its private key, PEM, mode 0600. Default \"\"."`
	AllowRemote bool     `toml:"allow_remote" comment:"允许在非本机地址上用明文 HTTP，例如在终结 TLS 的代理之后 · Allow plain HTTP on an address that is not loopback, as behind\na proxy that ends TLS: whoever is on the way reads and changes everything. With TLS it is not needed. Default false."`
}

// PeerConfig is the section [peer].
type PeerConfig struct {
	Listen string   `toml:"listen" comment:"监听地址 · Address to listen on for the other members, host:port. Default \"0.0.0.0:8110\"."`
	Peers  []string `toml:"peers" comment:"其他成员，nodeid@host:port；空则取自创世文件 · The other members, nodeid@host:port.\nEmpty: the addresses in the genesis. Default []."`
}

// ChainConfig is the section [chain].
type ChainConfig struct {
	Heartbeat     Duration `toml:"heartbeat" comment:"空闲时出块间隔 · Time between blocks when idle, a duration. Default \"1m0s\"."`
	TimeoutCommit Duration `toml:"timeout_commit" comment:"提交后等待慢成员的时间 · Wait for slow members after a commit, a duration.\nA longer wait costs as much latency. Default \"100ms\"."`
}

// KeysConfig is the section [keys].
type KeysConfig struct {
	Intake      string `toml:"intake" comment:"受理回执与批次头 · SM2, signs receipts and batch headers. Default \"keys/intake.pem\"."`
	SealSM2     string `toml:"seal_sm2" comment:"会签 (SM2) · SM2, seals checkpoints. Default \"keys/seal-sm2.pem\"."`
	SealEd25519 string `toml:"seal_ed25519" comment:"会签 (Ed25519) · Ed25519, seals checkpoints. Default \"keys/seal-ed25519.pem\"."`
	Log         string `toml:"log" comment:"日志签名 (C2SP) · Ed25519, the C2SP log line. Default \"keys/log.pem\"."`
	Admin       string `toml:"admin" comment:"管理：登记与吊销密钥；节点运行时不读 · Admin: registers and revokes keys, signs the card.\nThe running node never reads it; keep it elsewhere if you can. Default \"keys/admin.pem\"."`
	Consensus   string `toml:"consensus" comment:"共识投票 · Ed25519, votes in CometBFT. Default \"keys/consensus.json\"."`
	Node        string `toml:"node" comment:"节点身份 · Identity of the node among its peers. Default \"keys/node.json\"."`
	Guard       string `toml:"guard" comment:"防重签记录：绝不可手工放回，用 qifeng restore · What was sealed last. NEVER put it back by hand: use qifeng restore. Default \"keys/guard.json\"."`
}

// DataConfig is the section [data].
type DataConfig struct {
	Dir string `toml:"dir" comment:"数据目录 · Folder of chain and archive. Default \"data\"."`
}

// LogConfig is the section [log].
type LogConfig struct {
	Level string `toml:"level" comment:"级别 · One of debug, info, warn, error. Default \"info\"."`
}

// Duration is a time.Duration that reads and writes as text such as "1m0s".
type Duration time.Duration

// MarshalText writes the duration as Go prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("not a duration such as 500ms or 1m0s: %q", b)
	}
	*d = Duration(v)
	return nil
}

// Default is the configuration of a new home, without the member's id.
func Default() Config {
	return Config{
		API:   APIConfig{Listen: "127.0.0.1:8100", Origins: []string{}},
		Peer:  PeerConfig{Listen: "0.0.0.0:8110", Peers: []string{}},
		Chain: ChainConfig{Heartbeat: Duration(time.Minute), TimeoutCommit: Duration(100 * time.Millisecond)},
		Keys: KeysConfig{
			Intake: "keys/intake.pem", SealSM2: "keys/seal-sm2.pem", SealEd25519: "keys/seal-ed25519.pem",
			Log: "keys/log.pem", Admin: "keys/admin.pem",
			Consensus: "keys/consensus.json", Node: "keys/node.json", Guard: "keys/guard.json",
		},
		Limits:  defaultLimits(),
		Data:    DataConfig{Dir: "data"},
		Anchors: AnchorsConfig{Roots: "anchor-roots.json"},
		Log:     LogConfig{Level: "info"},
	}
}

// Validate names the first section and field that is wrong, and the mend.
func (c *Config) Validate() error {
	if err := checkpoint.CheckMemberID(c.Member.ID); err != nil {
		return fmt.Errorf("[member] id: %w", err)
	}
	if err := c.API.validate(); err != nil {
		return fmt.Errorf("[api] %w", err)
	}
	if err := c.Peer.validate(); err != nil {
		return fmt.Errorf("[peer] %w", err)
	}
	if err := c.Chain.validate(); err != nil {
		return fmt.Errorf("[chain] %w", err)
	}
	if err := c.Keys.validate(); err != nil {
		return fmt.Errorf("[keys] %w", err)
	}
	if err := c.Limits.validate(); err != nil {
		return fmt.Errorf("[limits] %w", err)
	}
	if c.Data.Dir == "" {
		return errors.New("[data] dir: must not be empty")
	}
	if err := c.Metrics.validate(&c.API); err != nil {
		return fmt.Errorf("[metrics] %w", err)
	}
	if _, err := c.Log.level(); err != nil {
		return fmt.Errorf("[log] %w", err)
	}
	return c.validateAnchors()
}

func (c *APIConfig) validate() error {
	host, err := checkAddress(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls_cert, tls_key: one without the other: set both, or neither for plain HTTP")
	}
	if !loopback(host) && !c.tls() && !c.AllowRemote {
		return fmt.Errorf("listen: %q is reachable from outside and plain HTTP can be read and changed on the way: "+
			"set tls_cert and tls_key, or allow_remote = true behind a proxy that ends TLS, or use 127.0.0.1", c.Listen)
	}
	if len(c.Origins) > 0 {
		if err := httpsig.CheckOrigins(c.Origins); err != nil {
			return fmt.Errorf("origins: %w", err)
		}
	}
	return nil
}

// tls reports whether the API speaks TLS; validate has seen that both are set.
func (c *APIConfig) tls() bool { return c.TLSCert != "" && c.TLSKey != "" }

func (c *PeerConfig) validate() error {
	if _, err := checkAddress(c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for i, p := range c.Peers {
		id, addr, ok := strings.Cut(p, "@")
		if !ok || len(id) != 40 || strings.Trim(id, "0123456789abcdef") != "" {
			return fmt.Errorf("peers[%d]: %q is not nodeid@host:port with 40 lower-case hex digits", i, p)
		}
		if _, err := checkAddress(addr); err != nil {
			return fmt.Errorf("peers[%d]: %w", i, err)
		}
	}
	return nil
}

func (c *ChainConfig) validate() error {
	// The seal reactor takes a chain older than two heartbeats for stopped.
	if d := time.Duration(c.Heartbeat); d < time.Second || d > 10*time.Minute {
		return fmt.Errorf("heartbeat: %v is outside 1s to 10m", d)
	}
	if d := time.Duration(c.TimeoutCommit); d < time.Millisecond || d > 10*time.Second {
		return fmt.Errorf("timeout_commit: %v is outside 1ms to 10s", d)
	}
	return nil
}

// files lists the key files by the name of their field.
func (c *KeysConfig) files() []struct{ name, path string } {
	return []struct{ name, path string }{
		{"intake", c.Intake}, {"seal_sm2", c.SealSM2}, {"seal_ed25519", c.SealEd25519}, {"log", c.Log},
		{"admin", c.Admin}, {"consensus", c.Consensus}, {"node", c.Node}, {"guard", c.Guard},
	}
}

func (c *KeysConfig) validate() error {
	seen := map[string]string{}
	for _, f := range c.files() {
		if f.path == "" {
			return fmt.Errorf("%s: must not be empty", f.name)
		}
		if other, ok := seen[filepath.Clean(f.path)]; ok {
			return fmt.Errorf("%s: is the same file as %s: every key has one purpose", f.name, other)
		}
		seen[filepath.Clean(f.path)] = f.name
	}
	return nil
}

// checkAddress checks host:port and returns the host.
func checkAddress(addr string) (host string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q: the port must be 1 to 65535", addr)
	}
	return host, nil
}

// loopback reports whether only this machine reaches host. A name is taken
// for remote unless it is localhost: what it resolves to may change.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const configHead = `# 骑缝 · Qifeng: 节点配置 · configuration of one member's node.
# 路径相对于本目录；未知字段会被拒绝；用 qifeng config check 检查。
# Paths are relative to this folder. Unknown fields are refused. Check with: qifeng config check

`

// Render is the documented text of c.
func (c *Config) Render() ([]byte, error) {
	b, err := toml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("rendering configuration: %w", err)
	}
	tail, err := renderAnchors()
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(configHead), b, tail), nil
}

// ParseConfig reads and validates a configuration. Fields left out have their
// defaults; unknown fields are refused.
func ParseConfig(b []byte) (*Config, error) {
	c := Default()
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) && len(strict.Errors) > 0 {
			e := strict.Errors[0]
			row, _ := e.Position()
			return nil, fmt.Errorf("line %d: unknown field %s", row, strings.Join(e.Key(), "."))
		}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			row, col := de.Position()
			return nil, fmt.Errorf("line %d, column %d: %w", row, col, err)
		}
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// LoadConfig reads a configuration file.
func LoadConfig(path string) (*Config, error) {
	b, err := readSmall(path, maxConfig)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readSmall reads a regular file of at most max bytes. A folder, a missing
// file and one that is too large are told apart in words.
func readSmall(path string, max int64) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return nil, fmt.Errorf("%s is a folder, not a file", path)
	}
	if fi.Size() > max {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d expected of such a file", path, fi.Size(), max)
	}
	return os.ReadFile(path)
}
