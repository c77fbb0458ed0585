package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"qifeng/anchor/witness"
	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// keyLine is the line before the PEM block of a user key: whose key it is and
// its name in the register.
const keyLine = "# qifeng key "

// userKey is a key file of a submitter or reader.
type userKey struct {
	*gm.PrivateKey
	Member, Name string
}

// loadUserKey reads a user key and the line that names it.
func loadUserKey(path string) (*userKey, error) {
	key, err := gm.LoadPrivateKey(path)
	if err != nil {
		return nil, err
	}
	text, err := readSmall(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(strings.TrimPrefix(first, keyLine))
	if !strings.HasPrefix(first, keyLine) || len(words) != 2 {
		return nil, fmt.Errorf("%s: the first line is not %q<member> <name>: only keys made by qifeng key new sign submissions", path, keyLine)
	}
	return &userKey{PrivateKey: key, Member: words[0], Name: words[1]}, nil
}

// makeUserKey makes a key file; an existing file is refused.
func makeUserKey(path, member, name string, alg gm.Alg) (*userKey, error) {
	if err := evidence.CheckKeyName(name); err != nil {
		return nil, usagef("%w", err)
	}
	key, err := gm.GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	if err := gm.SavePrivateKey(path, key, keyLine+member+" "+name); err != nil {
		return nil, err
	}
	return &userKey{PrivateKey: key, Member: member, Name: name}, nil
}

func (a *app) keyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "用户密钥：生成、登记、吊销、列出 · User keys: make, register, revoke, list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyNewCmd(), a.keyWitnessCmd(), a.keyRegisterCmd(), a.keyRevokeCmd(), a.keyListCmd())
	return cmd
}

func (a *app) keyNewCmd() *cobra.Command {
	var member, alg string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "生成用户密钥文件 · Make a user key file",
		Long: `生成密钥文件（0600），首行写明成员与名称。名称在一个成员内永不重复使用。
Makes a key file (mode 0600) whose first line names member and key. A name is used once within
a member, for ever.`,
		Example: example("qifeng key new orders-2026 --home ./vendor-a --out orders.pem", "qifeng key new orders-2026 --member vendor-a --out orders.pem"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			return a.keyNew(args[0], member, alg)
		}),
	}
	a.homeFlag(cmd)
	a.outFlag(cmd, "密钥文件，默认 <名称>.pem · key file, default NAME.pem")
	cmd.Flags().StringVar(&member, "member", "", "成员编号，默认取自成员目录 · member id, default that of the home")
	cmd.Flags().StringVar(&alg, "alg", gm.SM2.String(), "算法 · algorithm: sm2 or ed25519")
	choices(cmd, "alg", gm.SM2.String(), gm.Ed25519.String())
	return cmd
}

func (a *app) keyNew(name, member, alg string) error {
	algs := map[string]gm.Alg{gm.SM2.String(): gm.SM2, gm.Ed25519.String(): gm.Ed25519}
	if algs[alg] == 0 {
		return usagef("--alg %q: must be sm2 or ed25519", alg)
	}
	if member == "" {
		cfg, err := a.home.config()
		if err != nil {
			return usagef("--member is needed without a home: %w", err)
		}
		member = cfg.Member.ID
	}
	path := a.outPath
	if path == "" {
		path = name + ".pem"
	}
	key, err := makeUserKey(path, member, name, algs[alg])
	if err != nil {
		return err
	}
	a.say("密钥 %s（%s）写入 %s", "key %s (%s) written to %s", name, member, path)
	fmt.Fprintln(a.out, key.Public())
	return nil
}

func (a *app) keyWitnessCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "witness NAME",
		Short: "生成见证密钥，供本节点为其他日志作见证 · Make the key with which this node witnesses other logs",
		Long: `生成专用 Ed25519 密钥与其状态文件（[witness] key，默认 keys/witness.pem），打印 vkey 交给对方登记。NAME 是见证签名上的
名称，如 court.example/witness。状态文件记录已见证的内容，绝不可从备份放回。
Makes an Ed25519 key that serves nothing else, with its state file ([witness] key, by default
keys/witness.pem), and prints the vkey that other logs register. NAME stands on the cosignatures,
as court.example/witness. The state says what was cosigned: never put it back from a backup.`,
		Example: example("qifeng key witness court.example/witness --home ./court-a"),
		Args:    cobra.ExactArgs(1),
		RunE:    a.run(func(_ context.Context, args []string) error { return a.keyWitness(args[0]) }),
	}
	a.homeFlag(cmd)
	return cmd
}

// keyWitness makes the state first: a key without one is refused, and a state
// without a key is nothing.
func (a *app) keyWitness(name string) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	rel := orElse(cfg.Witness.Key, "keys/witness.pem")
	path := a.home.path(rel)
	if exists(path) {
		return usagef("%s exists and is not replaced", path)
	}
	key, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		return err
	}
	w := checkpoint.Witness{Name: name, Key: key.Public()}
	if _, err := checkpoint.ParseWitness(w.String()); err != nil {
		return usagef("%w", err)
	}
	if err := witness.InitState(witnessState(path)); err != nil {
		return err
	}
	if err := gm.SavePrivateKey(path, key, witnessLine+name); err != nil {
		return errors.Join(err, os.Remove(witnessState(path)))
	}
	a.say("见证密钥写入 %s；在 [witness] 设置 key = %q 与 logs，重启节点。请对方登记：", "witness key written to %s; set key = %q and logs in [witness], and restart the node. To be registered by the other logs:", path, rel)
	fmt.Fprintln(a.out, w)
	return nil
}

func (a *app) keyRegisterCmd() *cobra.Command {
	var purpose, admin string
	cmd := &cobra.Command{
		Use:   "register KEYFILE",
		Short: "把用户密钥登记到链上 · Register a user key on the chain",
		Long: `用成员的管理密钥签名，把密钥文件中的公钥登记到链上；只读取公钥部分，私钥不离开本机。
Signs with the member's admin key and registers the file's public key on the chain. The private
key stays where it is.`,
		Example: example("qifeng key register orders.pem --home ./vendor-a", "qifeng key register clerk.pem --home ./court-a --purpose read"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			key, err := loadUserKey(args[0])
			if err != nil {
				return &codeError{code: exitUsage, err: err}
			}
			e := evidence.KeyEntry{Action: evidence.Register, Key: key.Name, Member: key.Member,
				PublicKey: key.Public(), Purpose: evidence.Purpose(purpose)}
			return a.sendKeyEntry(ctx, e, admin)
		}),
	}
	a.keyEntryFlags(cmd, &admin)
	cmd.Flags().StringVar(&purpose, "purpose", string(evidence.Submit), "用途 · purpose: submit or read")
	choices(cmd, "purpose", evidence.Submit, evidence.Read)
	return cmd
}

func (a *app) keyRevokeCmd() *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use:     "revoke NAME",
		Short:   "在链上吊销用户密钥，不可撤回 · Revoke a user key on the chain, for ever",
		Example: example("qifeng key revoke orders-2026 --home ./vendor-a"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cfg, err := a.home.config()
			if err != nil {
				return &codeError{code: exitUsage, err: err}
			}
			return a.sendKeyEntry(ctx, evidence.KeyEntry{Action: evidence.Revoke, Key: args[0], Member: cfg.Member.ID}, admin)
		}),
	}
	a.keyEntryFlags(cmd, &admin)
	return cmd
}

func (a *app) keyEntryFlags(cmd *cobra.Command, admin *string) {
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	cmd.Flags().StringVar(admin, "key", "", "管理密钥，默认按成员目录的配置 · admin key, default by the home's configuration")
}

// sendKeyEntry signs an entry with the admin key and waits until it is on the
// chain.
func (a *app) sendKeyEntry(ctx context.Context, e evidence.KeyEntry, adminPath string) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	a.key = adminPath
	admin, err := a.adminKey()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	policy, err := a.trustPolicy(ctx, c, "")
	if err != nil {
		return err
	}
	if err := sendEntry(ctx, c, e, policy.Chain, admin); err != nil {
		return err
	}
	a.say("密钥 %s（%s）已%s", "key %s (%s): %s done", e.Key, e.Member, a.lang.T(
		map[evidence.Action]string{evidence.Register: "登记", evidence.Revoke: "吊销"}[e.Action], string(e.Action)))
	return nil
}

func sendEntry(ctx context.Context, c *client.Client, e evidence.KeyEntry, chainID string, admin gm.Signer) error {
	e.SignedAt = time.Now().UTC().Truncate(time.Millisecond)
	raw, err := e.Sign(chainID, admin)
	if err != nil {
		return usagef("%w", err)
	}
	for {
		r, err := c.RegisterKey(ctx, raw)
		if err != nil {
			return err
		}
		if r.Committed {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the entry is sent but not on the chain yet: %w", ctx.Err())
		}
	}
}

// homeKey is a user key that a home of a development network has.
type homeKey struct {
	path, name string
	purpose    evidence.Purpose
}

// homeKeys are the keys that a member of a role gets: what a vendor submits and
// everybody reads with, each key for its one purpose.
func homeKeys(role checkpoint.Role) []homeKey {
	keys := []homeKey{{readKey, "read", evidence.Read}}
	if !role.Neutral() {
		keys = append(keys, homeKey{submitKey, "submit", evidence.Submit})
	}
	return keys
}

// ensureKeys gives a home its user keys, in the files and on the chain, however
// far an earlier run came. url is any member's node.
func ensureKeys(ctx context.Context, h home, url string) error {
	cfg, err := h.config()
	if err != nil {
		return err
	}
	cons, err := loadConsortium(h.path(genesisName))
	if err != nil {
		return err
	}
	card, ok := cons.Genesis.Card(cfg.Member.ID)
	if !ok {
		return fmt.Errorf("%s is no member of %s", cfg.Member.ID, cons.ChainID)
	}
	for _, k := range homeKeys(card.Role) {
		if err := ensureKey(ctx, h, cfg, cons.ChainID, k, url); err != nil {
			return fmt.Errorf("%s of %s: %w", k.path, cfg.Member.ID, err)
		}
	}
	return nil
}

func ensureKey(ctx context.Context, h home, cfg *Config, chainID string, want homeKey, url string) error {
	path := h.path(want.path)
	if !exists(path) {
		if _, err := makeUserKey(path, cfg.Member.ID, want.name, gm.SM2); err != nil {
			return err
		}
	}
	key, err := loadUserKey(path)
	if err != nil {
		return err
	}
	c, err := newClient(url, client.Options{})
	if err != nil {
		return err
	}
	keys, err := c.Keys(ctx, key.Member)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name == key.Name && k.PublicKey == key.Public().String() {
			return nil
		}
	}
	admin, err := gm.LoadPrivateKey(h.path(cfg.Keys.Admin))
	if err != nil {
		return err
	}
	return sendEntry(ctx, c, evidence.KeyEntry{Action: evidence.Register, Key: key.Name, Member: key.Member,
		PublicKey: key.Public(), Purpose: want.purpose}, chainID, admin)
}

func (a *app) keyListCmd() *cobra.Command {
	var member string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "列出已登记的用户密钥 · List registered user keys",
		Example: example("qifeng key list --home ./vendor-a", "qifeng key list --api http://127.0.0.1:8100 --member vendor-a --json"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			c, err := a.client()
			if err != nil {
				return err
			}
			keys, err := c.Keys(ctx, member)
			if err != nil {
				return err
			}
			return a.printKeys(keys)
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&member, "member", "", "只列此成员的 · only those of this member")
	return cmd
}

func (a *app) printKeys(keys []client.Key) error {
	if a.json {
		return a.printJSON(keys)
	}
	for _, k := range keys {
		state := a.lang.T("有效", "active")
		if k.RevokedAt != nil {
			state = fmt.Sprintf(a.lang.T("已吊销于总账 %d", "revoked at ledger %d"), *k.RevokedAt)
		}
		fmt.Fprintf(a.out, "%-16s %-24s %-7s %s\n    %s\n", k.Member, k.Name, k.Purpose, state, k.PublicKey)
	}
	return nil
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return errors.Join(errors.New("printing JSON"), err)
	}
	return nil
}
