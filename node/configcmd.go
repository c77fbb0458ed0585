package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"qifeng/genesis"
)

func (a *app) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "配置 · Configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check := &cobra.Command{
		Use:   "check",
		Short: "检查配置与密钥文件 · Check the configuration and the key files",
		Long: `读取成员目录的 qifeng.toml，检查每个字段、密钥文件是否存在及其权限。不启动任何东西。
Reads qifeng.toml of the home and checks every field, and that each key file exists with the
right mode. Starts nothing.`,
		Example: example("qifeng config check --home ./court-a"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(context.Context, []string) error { return a.configCheck() }),
	}
	a.homeFlag(check)
	cmd.AddCommand(check)
	return cmd
}

func (a *app) configCheck() error {
	c, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	for _, f := range c.Keys.files() {
		if err := checkKeyFile(f.name, a.home.path(f.path), exists(a.home.path(genesisName))); err != nil {
			return &codeError{code: exitUsage, err: err}
		}
	}
	if _, err := serverTLS(a.home, &c.API, slog.New(slog.DiscardHandler)); err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	if err := checkAnchors(a.home, c); err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	a.say("配置正确：成员 %s，接口 %s，成员网络 %s", "the configuration is right: member %s, API %s, peers %s",
		c.Member.ID, c.API.Listen, c.Peer.Listen)
	return nil
}

// checkAnchors checks the files of the anchors and the witness key. Whether the
// services answer is for qifeng anchor test.
func checkAnchors(h home, c *Config) error {
	var cons *genesis.Consortium
	chainID := ""
	if exists(h.path(genesisName)) {
		var err error
		if cons, err = loadConsortium(h.path(genesisName)); err != nil {
			return err
		}
		chainID = cons.ChainID
	}
	if _, err := loadAnchorFiles(h, c, chainID); err != nil {
		return err
	}
	if c.Witness.Key == "" {
		return nil
	}
	return checkWitness(h, c, cons)
}

// checkWitness opens the witness that the node would be, where it has joined.
func checkWitness(h home, c *Config, cons *genesis.Consortium) error {
	var err error
	if cons == nil {
		_, err = witnessKey(h, c, nil)
	} else {
		_, err = openWitness(h, c, cons, cons.Policy, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		return fmt.Errorf("[witness] %w", err)
	}
	return nil
}

// checkKeyFile checks that a key file exists and is its owner's alone. The
// admin key may be kept elsewhere, and the guard is made when the home joins.
func checkKeyFile(name, path string, joined bool) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && (name == "admin" || name == "guard" && !joined) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("[keys] %s: %w", name, err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("[keys] %s: %s has mode %04o, others may read it: chmod 600 %s", name, path, fi.Mode().Perm(), path)
	}
	return nil
}
