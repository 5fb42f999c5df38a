# What our flake asks of `nixpkgs.lib` besides: each as it does there, as far as it is asked.
let
  inherit (builtins) compareVersions listToAttrs map replaceStrings trace;
  letters = "abcdefghijklmnopqrstuvwxyz";
  split = text: builtins.genList (number: builtins.substring number 1 text) (builtins.stringLength text);
  type = name: { inherit name; };
in
rec {
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  mkEnableOption = description: mkOption { type = types.bool; default = false; inherit description; };
  # Options that have no description, or types that there are not, are refused by NixOS.
  mkOption = { type, description, default ? null, defaultText ? null, example ? null }@option: option;
  mkIf = condition: config: if condition then config else { };
  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = function: set: listToAttrs (map (name: function name set.${name}) (builtins.attrNames set));
  optional = condition: value: if condition then [ value ] else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  toUpper = replaceStrings (split letters) (split "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  types = {
    bool = type "bool";
    int = type "int";
    str = type "str";
    package = type "package";
    listOf = of: type "list of ${of.name}";
    attrsOf = of: type "attributes of ${of.name}";
    oneOf = these: type (builtins.concatStringsSep " or " (map (each: each.name) these));
  };
  versionAtLeast = version: wanted: compareVersions version wanted >= 0;
  warnIf = condition: words: value: if condition then trace "warning: ${words}" value else value;
}
