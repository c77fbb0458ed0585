package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/genesis"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// stockDir is the folder of the stock C2SP policies beside a policy.
const stockDir = "stock-policies"

func (a *app) memberCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "member", Short: "成员 · Members", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	s := evidence.Card{}
	card := &cobra.Command{
		Use:   "card",
		Short: "打印成员卡，或以新地址重签 · Print the member card, or sign it anew with other addresses",
		Long: `打印成员目录的成员卡（公钥、角色、地址，自签名）及其指纹。给出地址选项时用管理密钥重签并替换成员卡；
加入联盟之后地址以创世文件为准，不可再改。
Prints the home's member card (public keys, role, addresses, self-signed) and its fingerprint.
With an address option it is signed anew with the admin key; once the home has joined a
consortium, the card is fixed in the genesis and stays as it is.`,
		Example: example("qifeng member card --home ./court-a", "qifeng member card --home ./court-a --peer-address court.example:8110 --out court-a.card.json"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(context.Context, []string) error { return a.memberCard(s) }),
	}
	a.homeFlag(card)
	a.keyFlag(card, "管理密钥，默认按配置 · admin key, default by the configuration")
	a.outFlag(card, "写入文件而非标准输出 · write to a file and not to standard output")
	f := card.Flags()
	f.StringVar(&s.Peer, "peer-address", "", "新的成员网络地址 · new host:port for the other members")
	f.StringVar(&s.API, "api-url", "", "新的接口地址 · new URL of the API")
	f.StringVar(&s.Name, "name", "", "新的机构名称 · new name of the organisation")
	cmd.AddCommand(card)
	return cmd
}

func (a *app) memberCard(change evidence.Card) error {
	raw, err := readCanonical(a.home.path(cardName), maxCardFile)
	if err != nil {
		return err
	}
	card, err := evidence.ParseCard(raw)
	if err != nil {
		return usagef("%s: %w", a.home.path(cardName), err)
	}
	if change.Peer != "" || change.API != "" || change.Name != "" {
		if raw, err = a.resignCard(card, change); err != nil {
			return err
		}
	}
	a.note("成员 %s（%s），指纹 %s", "member %s (%s), fingerprint %s", card.ID, card.Role, fingerprint(raw))
	if a.outPath != "" {
		return writeSame(a.outPath, raw, 0o644)
	}
	_, err = fmt.Fprintf(a.out, "%s\n", raw)
	return err
}

func (a *app) resignCard(card *evidence.Card, change evidence.Card) ([]byte, error) {
	if exists(a.home.path(genesisName)) {
		return nil, usagef("%s has joined a consortium: its card stands in the genesis and cannot change", card.ID)
	}
	admin, err := a.adminKey()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ to, from *string }{{&card.Peer, &change.Peer}, {&card.API, &change.API}, {&card.Name, &change.Name}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	raw, err := card.Sign(admin)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return raw, replaceFile(a.home.path(cardName), raw, 0o644)
}

// adminKey loads --key, or the admin key of the home.
func (a *app) adminKey() (*gm.PrivateKey, error) {
	path := a.key
	if path == "" {
		cfg, err := a.home.config()
		if err != nil {
			return nil, err
		}
		path = a.home.path(cfg.Keys.Admin)
	}
	return gm.LoadPrivateKey(path)
}

// readCanonical reads a JSON document that people may have reformatted.
func readCanonical(path string, max int) ([]byte, error) {
	b, err := readSmall(path, int64(max))
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	out, err := canon.Canonicalize(b, max)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return out, nil
}

func (a *app) genesisCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "genesis", Short: "联盟创世 · The founding of a consortium", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.genesisBuildCmd(), a.genesisInspectCmd(), a.genesisJoinCmd())
	return cmd
}

func (a *app) genesisBuildCmd() *cobra.Command {
	p := genesis.Plan{}
	var require []string
	var created string
	cmd := &cobra.Command{
		Use:   "build CARD…",
		Short: "由成员卡生成创世文件与信任策略 · Build genesis and trust policy from member cards",
		Long: `检查每张成员卡，生成 genesis.json、policy.txt 与近似的 C2SP 策略，并说明几家失效仍能会签、哪一家能单独使会签停止。
平台单独可达成、或两组互不相交的成员可分别达成的会签门槛一律拒绝。相同的卡、名称、门槛与时间得到相同的字节，
各成员可各自生成并比对链编号。
Checks every card and writes genesis.json, policy.txt and approximate C2SP policies, and says
how many members may fail and who alone can stop sealing. A seal quorum that vendors alone or
two disjoint sets could meet is refused. Equal cards, name, quorum and time give equal bytes:
every member can build it and compare the chain id.`,
		Example: example("qifeng genesis build court-a.json notary-a.json arbitration-a.json vendor-a.json --name evidence --out ./genesis"),
		Args:    cobra.MinimumNArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			var err error
			if p.Quorum.Require, err = parseRequire(require); err != nil {
				return err
			}
			return a.genesisBuild(p, created, args)
		}),
	}
	a.outFlag(cmd, "输出目录 · folder to write to (required)")
	f := cmd.Flags()
	f.StringVar(&p.Name, "name", "", "链名称 · name of the chain: a-z, 0-9 and dash (required)")
	f.IntVar(&p.Quorum.Members, "quorum-members", 0, "会签所需成员数，默认多于三分之二 · members needed to seal, default more than 2/3")
	f.IntVar(&p.Quorum.NeutralRoles, "neutral-roles", 0, "会签所需不同中立角色数，默认 2 · different neutral roles needed, default 2")
	f.StringArrayVar(&require, "require", nil, "必须有的角色，如 court=1，可重复 · a role that must seal, as court=1; may repeat")
	f.StringVar(&created, "created-at", "", "创世时间，RFC 3339；默认现在，或已有 genesis.json 的时间 · time of the founding; default now, or that of a genesis.json already there")
	for _, n := range []string{"out", "name"} {
		if err := cmd.MarkFlagRequired(n); err != nil {
			panic(err) // a misspelt flag name above
		}
	}
	return cmd
}

func parseRequire(specs []string) ([]checkpoint.Require, error) {
	var out []checkpoint.Require
	for _, s := range specs {
		name, count, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(count)
		if !ok || err != nil {
			return nil, usagef("--require %q: must be role=count, as court=1", s)
		}
		role, err := checkpoint.ParseRole(name)
		if err != nil {
			return nil, usagef("--require %q: %w", s, err)
		}
		out = append(out, checkpoint.Require{Role: role, Count: n})
	}
	return out, nil
}

func (a *app) genesisBuild(p genesis.Plan, created string, cards []string) error {
	for _, path := range cards {
		raw, err := readCanonical(path, maxCardFile)
		if err != nil {
			return err
		}
		p.Cards = append(p.Cards, raw)
	}
	var err error
	if p.CreatedAt, err = a.foundedAt(created); err != nil {
		return err
	}
	c, err := genesis.Build(p)
	if err != nil {
		return err
	}
	if err := writeConsortium(a.outPath, c); err != nil {
		return err
	}
	a.describe(c)
	a.say("已写入 %s；各成员：qifeng genesis join %s", "written to %s; each member: qifeng genesis join %s",
		a.outPath, filepath.Join(a.outPath, genesisName))
	return nil
}

// foundedAt is --created-at, or the time of a genesis that stands in --out
// already, so that building it again is no change, or now.
func (a *app) foundedAt(flag string) (time.Time, error) {
	if flag != "" {
		t, err := time.Parse(time.RFC3339, flag)
		if err != nil {
			return t, usagef("--created-at %q: must be RFC 3339, as 2026-11-21T08:00:00Z", flag)
		}
		return t, nil
	}
	raw, err := os.ReadFile(filepath.Join(a.outPath, genesisName))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Now(), nil
	}
	if err != nil {
		return time.Time{}, err
	}
	g, err := evidence.ParseGenesis(raw)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", filepath.Join(a.outPath, genesisName), err)
	}
	return g.CreatedAt, nil
}

// writeConsortium writes the files of a founding; a file that is there with
// other content is refused before any is written.
func writeConsortium(dir string, c *genesis.Consortium) error {
	type file struct {
		name string
		data []byte
	}
	files := []file{{genesisName, c.Genesis.Raw}, {policyName, c.Text}}
	for name, data := range c.Stock {
		files = append(files, file{filepath.Join(stockDir, name), data})
	}
	slices.SortFunc(files[2:], func(x, y file) int { return strings.Compare(x.name, y.name) })
	for _, f := range files {
		if err := sameOrNew(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := writeSame(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) genesisInspectCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inspect GENESIS",
		Short:   "检查创世文件并说明其容错 · Check a genesis and say what may fail",
		Example: example("qifeng genesis inspect ./genesis/genesis.json"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			c, err := loadConsortium(args[0])
			if err != nil {
				return err
			}
			a.describe(c)
			return nil
		}),
	}
	return cmd
}

func (a *app) genesisJoinCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "join GENESIS",
		Short: "让成员目录加入联盟 · Let a home join the consortium",
		Long: `检查创世文件含有本成员的成员卡，把创世文件与信任策略写入成员目录。已加入别的联盟则拒绝。
Checks that the genesis holds this member's card and puts genesis and trust policy into the
home. Refuses a home that has joined another consortium.`,
		Example: example("qifeng genesis join ./genesis/genesis.json --home ./court-a"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			raw, err := readCanonical(args[0], maxSmallFile)
			if err != nil {
				return err
			}
			id, err := joinConsortium(a.home, raw)
			if err != nil {
				return err
			}
			a.say("已加入链 %s；运行：qifeng start --home %s", "joined chain %s; run: qifeng start --home %s", id, shellQuote(string(a.home)))
			return nil
		}),
	}
	a.homeFlag(cmd)
	return cmd
}

func loadConsortium(path string) (*genesis.Consortium, error) {
	raw, err := readCanonical(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	return readConsortium(raw)
}

func readConsortium(raw []byte) (*genesis.Consortium, error) {
	c, err := genesis.Read(raw)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	return c, nil
}

// describe prints a consortium and who can stop it.
func (a *app) describe(c *genesis.Consortium) {
	g := c.Genesis
	a.say("链 %s，%d 个成员，创世于 %s", "chain %s, %d members, founded %s", c.ChainID, len(g.Cards), g.CreatedAt.Format(time.RFC3339))
	for _, m := range g.Cards {
		fmt.Fprintf(a.out, "  %-16s %-12s %-24s %s  %s\n", m.ID, m.Role, m.Peer, fingerprint(m.Signed.Raw), m.Name)
	}
	q := g.Quorum
	a.say("会签门槛：%d 个成员，%d 种中立角色", "seal quorum: %d members, %d different neutral roles", q.Members, q.NeutralRoles)
	for _, r := range q.Require {
		a.say("  其中 %s 至少 %d 家", "  of which %s at least %d", r.Role, r.Count)
	}
	t := c.Tolerance
	a.say("会签：任意 %d 家失效仍可会签", "sealing goes on with any %d members failed", t.Any)
	for _, r := range t.Roles {
		a.say("  %s（%d 家）：可失效 %d 家", "  %s (%d): %d of them may fail", r.Role, r.Members, r.Any)
	}
	a.say("出块：任意 %d 家失效仍可出块", "block making goes on with any %d members failed", c.ConsensusTolerance())
	if len(t.Critical) > 0 {
		a.say("警告：任一单独失效即停止会签：%s", "WARNING: each of these alone can stop sealing: %s", strings.Join(t.Critical, ", "))
	}
	if c.ConsensusTolerance() == 0 {
		a.say("警告：少于 4 个成员，任何一家失效即停止出块", "WARNING: with fewer than 4 members no member may fail, or the chain stops")
	}
	if q.NeutralRoles < checkpoint.DefaultNeutralRoles {
		a.say("警告：只需一种中立角色：该机构与各平台合谋即可会签", "WARNING: one neutral role is enough: that institution and the vendors together can seal")
	}
}
