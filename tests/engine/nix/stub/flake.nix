# Stands in for nixpkgs, pyproject-nix, uv2nix and pyproject-build-systems, where GitHub is out of reach: only what our
# flake asks of them, as strict as they are about names. Python, uv and bash are those of the machine, which the tests
# name in STUB_PYTHON, STUB_UV and STUB_BASH (hence --impure); a virtual environment is what uv makes of the lock file.
{
  outputs =
    { self }:
    let
      inherit (builtins) all elem foldl' getEnv listToAttrs pathExists stringLength substring;

      genAttrs = names: value: listToAttrs (map (name: { inherit name; value = value name; }) names);

      # Nix 2.8 kills a builder as soon as its output closes; new kernels let that overtake the builder's own end. So a
      # child keeps the output open until the builder has ended.
      outlive = ''
        trap 'while [[ -e /proc/$$/stat && $(</proc/$$/stat) != *") Z "* ]]; do :; done &' EXIT
      '';

      build =
        system: name: attributes: script:
        derivation (
          attributes
          // {
            inherit system name;
            builder = getEnv "STUB_BASH";
            args = [ "-euc" (outlive + script) ];
            PATH = "/usr/bin:/bin";
            stdenv = ./stdenv;
            outputs = [ "out" ];
          }
        );

      pkgsFor =
        system:
        let
          link = name: target: build system name { } "mkdir -p $out/bin; ln -s ${target} $out/bin/${name}";
        in
        {
          callPackage = function: arguments: function ({ inherit system; } // arguments);
          python3 = link "python3" (getEnv "STUB_PYTHON") // {
            interpreter = getEnv "STUB_PYTHON";
            pythonVersion = getEnv "STUB_PYTHON_VERSION";
          };
          stdenv.hostPlatform = {
            inherit system;
            isLinux = builtins.match ".*-linux" system != null;
          };
          chromium = link "chromium" "/bin/true";
          git = link "git" "/usr/bin/git";
          uv = link "uv" (getEnv "STUB_UV");
          nixfmt-tree = link "treefmt" "/bin/true";
          runCommand = name: attributes: script: build system name attributes ("source $stdenv/setup\n" + script);
          mkShell =
            { packages, env, shellHook }:
            build system "shell" (env // { inherit shellHook; nativeBuildInputs = packages; }) "touch $out";
          writeShellApplication =
            { name, text, meta }:
            build system name { inherit text; } ''
              mkdir -p $out/bin
              printf '#!%s\nset -euo pipefail\n%s' "$BASH" "$text" > $out/bin/${name}
              bash -n $out/bin/${name}
              chmod +x $out/bin/${name}
            ''
            // { inherit meta; };
        };

      startsWith = beginning: text: substring 0 (stringLength beginning) text == beginning;
    in
    {
      legacyPackages = genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] pkgsFor;

      lib = {
        inherit genAttrs;
        inherit (import ./lib.nix) getExe mapAttrs' mkEnableOption mkIf mkOption nameValuePair optional optionalAttrs;
        inherit (import ./lib.nix) toUpper types versionAtLeast warnIf;
        composeManyExtensions = foldl' (before: overlay: before // overlay) { };
        fileset = {
          unions = paths: assert all pathExists paths; map toString paths;
          toSource =
            { root, fileset }:
            builtins.path {
              path = root;
              name = "source";
              filter = path: _: builtins.any (wanted: path == wanted || startsWith "${wanted}/" path) fileset;
            };
        };
        workspace.loadWorkspace =
          { workspaceRoot }:
          {
            deps = {
              default = "--no-default-groups";
              all = "--all-groups";
            };
            mkPyprojectOverlay =
              { sourcePreference }:
              assert elem sourcePreference [ "wheel" "sdist" ];
              { inherit workspaceRoot; };
          };
      };

      overlays.wheel.buildSystems = "wheel";

      build.packages =
        { system, python }:
        {
          overrideScope =
            { buildSystems, workspaceRoot }:
            {
              mkVirtualEnv =
                name: groups:
                # uv asks the registry, so with `sandbox = relaxed` this alone is built outside of the sandbox.
                build system name { __noChroot = true; } ''
                  cp ${workspaceRoot + "/pyproject.toml"} pyproject.toml
                  cp ${workspaceRoot + "/uv.lock"} uv.lock
                  export UV_PROJECT_ENVIRONMENT=$out UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=symlink
                  ${getEnv "STUB_UV"} sync --quiet --frozen ${groups} --python ${python.interpreter}
                '';
            };
        };
    };
}
