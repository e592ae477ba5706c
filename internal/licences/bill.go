package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// completeBills puts the licences of dependencies into CycloneDX bills of materials in JSON,
// where their components have none or others. It fails if a component has no licence here,
// as the bill then lists what docs/licences.md does not.
func completeBills(names []string) error {
	found, err := compiledBelow(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if text, err = withLicences(text, found); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withLicences returns a bill of materials with the licences of found.
func withLicences(text []byte, found []*dependency) ([]byte, error) {
	expressions := map[string]string{}
	for _, d := range found {
		expressions[d.path+" "+d.version] = d.expression()
	}
	var bill map[string]any
	if err := json.Unmarshal(text, &bill); err != nil {
		return nil, err
	}
	components, _ := bill["components"].([]any)
	if len(components) == 0 {
		return nil, fmt.Errorf("no components in the bill of materials")
	}
	for _, each := range components {
		component, _ := each.(map[string]any)
		name, _ := component["name"].(string)
		version, _ := component["version"].(string)
		if name == "std" { // Go's own library, which is not a module
			continue
		}
		expression := expressions[name+" "+version]
		if expression == "" {
			return nil, fmt.Errorf("no licence is known for %s %s", name, version)
		}
		delete(component, "evidence")
		component["licenses"] = []any{map[string]any{"expression": expression}}
	}
	return json.MarshalIndent(bill, "", "  ")
}
