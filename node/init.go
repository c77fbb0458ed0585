package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// initSpec is what a new home needs to be told.
type initSpec struct {
	ID, Name    string
	Role        checkpoint.Role
	APIListen   string
	AllowRemote bool
	Origins     []string // empty for the default
	APIURL      string   // told to the others, may be empty
	PeerListen  string
	PeerAddress string // host:port told to the others
}

func (a *app) initCmd() *cobra.Command {
	s := initSpec{}
	var role string
	def := Default()
	cmd := &cobra.Command{
		Use:   "init",
		Short: "建立成员目录：密钥、配置、成员卡 · Make a member's home: keys, configuration, card",
		Long: `在空目录中生成全部密钥（各自独立，0600）、防重签记录、配置与自签名的成员卡。已有内容的目录一律拒绝。
Makes all keys (separate, mode 0600), the guard, the configuration and the self-signed member
card in an empty folder. Refuses a folder that holds anything.`,
		Example: example(`qifeng init --home ./court-a --id court-a --role court --name "示例法院" --peer-address court.example:8110`),
		Args:    cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			r, err := checkpoint.ParseRole(role)
			if err != nil {
				return usagef("--role: %w: court, notary, arbitration or vendor", err)
			}
			s.Role = r
			return a.initHome(s)
		}),
	}
	a.homeFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&s.ID, "id", "", "成员编号 · the member's id: a-z, 0-9 and dash (required)")
	f.StringVar(&role, "role", "", "角色 · role: court, notary, arbitration or vendor (required)")
	f.StringVar(&s.Name, "name", "", "机构名称 · the organisation's name (required)")
	f.StringVar(&s.PeerAddress, "peer-address", "", "其他成员连接的地址 · host:port that the other members reach (required)")
	f.StringVar(&s.PeerListen, "peer-listen", def.Peer.Listen, "成员网络监听地址 · address to listen on for members")
	f.StringVar(&s.APIListen, "api-listen", def.API.Listen, "接口监听地址 · address of the API")
	f.BoolVar(&s.AllowRemote, "allow-remote", false, "允许接口在非本机地址上用明文 HTTP · let the API speak plain HTTP on an address that is not loopback")
	f.StringVar(&s.APIURL, "api-url", "", "写入成员卡的接口地址 · URL of the API in the card")
	for _, n := range []string{"id", "role", "name", "peer-address"} {
		if err := cmd.MarkFlagRequired(n); err != nil {
			panic(err) // a misspelt flag name above
		}
	}
	return cmd
}

func (a *app) initHome(s initSpec) error {
	card, err := makeHome(a.home, s)
	if err != nil {
		return err
	}
	a.say("成员目录已建立：%s", "made the home %s", string(a.home))
	a.say("成员卡 %s，指纹 %s：请通过其他渠道与各成员核对", "member card %s, fingerprint %s: compare it with the other members another way",
		a.home.path(cardName), fingerprint(card))
	a.say("接下来：交换成员卡，qifeng genesis build，然后 qifeng genesis join",
		"next: exchange cards, then qifeng genesis build, then qifeng genesis join")
	return nil
}

// fingerprint names a card in a form that can be read out on the phone.
func fingerprint(card []byte) string {
	sum := gm.SM3(card)
	return fmt.Sprintf("%x-%x-%x-%x", sum[0:4], sum[4:8], sum[8:12], sum[12:16])
}

// makeHome fills an empty folder. Order: keys, guard, card, and last the
// configuration, whose presence says that the home is whole. An error takes
// back what was made. A crash leaves a folder that every command refuses, init
// included; nothing in it has been used, so it can be deleted by hand. The
// guard gets its chain when the home joins one.
func makeHome(h home, s initSpec) (card []byte, err error) {
	c := Default()
	c.Member.ID = s.ID
	c.API.Listen, c.API.AllowRemote = s.APIListen, s.AllowRemote
	c.Peer.Listen = s.PeerListen
	if s.Origins != nil {
		c.API.Origins = s.Origins
	}
	if err := c.Validate(); err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	empty, err := emptyDir(string(h))
	if err != nil {
		return nil, err
	}
	if !empty {
		return nil, usagef("%s is not empty: a new home needs an empty folder, and nothing that exists is replaced", string(h))
	}
	defer func() {
		if err != nil { // the folder was empty, so all of it is ours
			err = errors.Join(err, takeBack(h))
		}
	}()
	if err := os.MkdirAll(h.path("keys"), 0o700); err != nil {
		return nil, err
	}
	if card, err = makeKeys(h, &c, s); err != nil {
		return nil, fmt.Errorf("making keys and card: %w", err)
	}
	if err := chain.InitGuard(h.path(c.Keys.Guard), chain.NoOrigin); err != nil {
		return nil, err
	}
	if err := writeNew(h.path(cardName), card, 0o644); err != nil {
		return nil, err
	}
	text, err := c.Render()
	if err != nil {
		return nil, err
	}
	return card, writeNew(h.path(configName), text, 0o600)
}

// takeBack deletes what makeHome makes, and the folder if nothing else is in it.
func takeBack(h home) error {
	err := os.RemoveAll(h.path("keys"))
	for _, name := range []string{cardName, configName} {
		if e := os.Remove(h.path(name)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	_ = os.Remove(string(h)) // it may hold a lock, or be a mount
	return err
}

// makeKeys makes every key file and signs the card with them.
func makeKeys(h home, c *Config, s initSpec) ([]byte, error) {
	k := &c.Keys
	card := evidence.Card{ID: s.ID, Name: s.Name, Role: s.Role, API: s.APIURL, Peer: s.PeerAddress}
	var admin *gm.PrivateKey
	for _, f := range []struct {
		path string
		alg  gm.Alg
		pub  *gm.PublicKey
	}{
		{k.Admin, gm.SM2, &card.Admin}, {k.Intake, gm.SM2, &card.Intake},
		{k.SealSM2, gm.SM2, &card.SealSM2}, {k.SealEd25519, gm.Ed25519, &card.SealEd25519}, {k.Log, gm.Ed25519, &card.Log},
	} {
		key, err := gm.GenerateKey(f.alg)
		if err != nil {
			return nil, err
		}
		if err := gm.SavePrivateKey(h.path(f.path), key, ""); err != nil {
			return nil, err
		}
		*f.pub = key.Public()
		if f.path == k.Admin {
			admin = key
		}
	}
	var err error
	if card.Consensus, card.NodeID, err = chain.InitKeys(h.path(k.Consensus), h.path(k.Node)); err != nil {
		return nil, err
	}
	return card.Sign(admin)
}

// joinConsortium puts a genesis into a home, then binds the guard to its chain,
// and last writes the policy; a crash between is taken up by the next call. It refuses a genesis that does not hold the
// home's own card, byte for byte, and any other than the one that is there.
func joinConsortium(h home, raw []byte) (chainID string, err error) {
	cfg, err := h.config()
	if err != nil {
		return "", err
	}
	c, err := readConsortium(raw)
	if err != nil {
		return "", err
	}
	own, err := readSmall(h.path(cardName), maxCardFile)
	if err != nil {
		return "", err
	}
	card, ok := c.Genesis.Card(cfg.Member.ID)
	if !ok {
		return "", fmt.Errorf("%s is not a member in this genesis", cfg.Member.ID)
	}
	if string(card.Signed.Raw) != string(own) {
		return "", fmt.Errorf("the genesis holds another card of %s than %s: give the founders the current one", cfg.Member.ID, h.path(cardName))
	}
	if err := sameOrNew(h.path(genesisName), c.Genesis.Raw); err != nil {
		return "", err
	}
	if err := writeSame(h.path(genesisName), c.Genesis.Raw, 0o644); err != nil {
		return "", err
	}
	if err := chain.BindGuard(h.path(cfg.Keys.Guard), checkpoint.Origin(c.ChainID)); err != nil {
		return "", fmt.Errorf("%w; see docs/operations.md", err)
	}
	return c.ChainID, writeSame(h.path(policyName), c.Text, 0o644)
}

// sameOrNew refuses a file that exists with other content.
func sameOrNew(path string, data []byte) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if string(old) != string(data) {
		return fmt.Errorf("%s exists with other content and is not replaced", path)
	}
	return nil
}

// writeSame writes a file, or finds it there with the same content.
func writeSame(path string, data []byte, mode fs.FileMode) error {
	if err := sameOrNew(path, data); err != nil || exists(path) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeNew(path, data, mode)
}
